-- What one run of the program has done so far: kept when it ends early.
return {
  script = nil,   -- path of the script
  finished = {},  -- results, in the order in which they were evaluated
  current = nil,  -- the evaluation under way, once some of its pictures are embedded
}
