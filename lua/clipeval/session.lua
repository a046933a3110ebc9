-- What one run of the program has done so far: kept when it ends early. None of it is in
-- reach of the script.
return {
  script = nil,   -- path of the script
  options = {},   -- what the command line said, by name
  settings = {},  -- the same, with what the script has changed: what `arg` stands for
  taken = {},     -- which of --arch and --activation a model was opened with
  finished = {},  -- results, in the order in which they were evaluated
  current = nil,  -- the evaluation under way, once some of its pictures are embedded
}
