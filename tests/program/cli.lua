-- The command line: verbs, options, exit codes.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"

local function check(words, code, out, err, name)
  local got, stdout, stderr = tap.clipeval(table.unpack(words))
  tap.is(got, code, name)
  if out then tap.has(stdout, out, name .. ": stdout") else tap.is(stdout, "",
                                                                   name .. ": no stdout") end
  if err then
    tap.has(stderr, err, name .. ": stderr")
    tap.is(select(2, stderr:gsub("\n", "")), 1, name .. ": one line")
  else
    tap.is(stderr, "", name .. ": no stderr")
  end
end

check({ "--version" }, 0, "OpenBLAS", nil, "--version names the BLAS")
check({ "--version" }, 0, "libjpeg", nil, "--version names the decoders")
check({ "--help" }, 0, "clipeval encode", nil, "--help lists the verbs")
for _, verb in ipairs { "run", "encode", "doctor", "list" } do
  check({ verb, "--help" }, 0, "clipeval " .. verb, nil, verb .. " --help")
end
check({ "run", "--help" }, 0, "--limit N", nil, "run --help lists its options")
check({}, 2, nil, "run, encode, doctor, bench, list", "no verb")
check({ "evaluate" }, 2, nil, "'evaluate' is no verb", "an unknown verb lists those there are")
check({ "run" }, 2, nil, "SCRIPT is missing", "run without a script")
check({ "run", "a.lua", "b.lua" }, 2, nil, "too many: 'b.lua'", "two scripts")
check({ "run", "--treads", "2", "x.lua" }, 2, nil, "--treads (did you mean --threads?)",
      "a misspelt option")
check({ "run", "--frobnicate" }, 2, nil, "run --help", "an option like no other")
check({ "run", "-x" }, 2, nil, "-x is no option", "an unknown letter")
check({ "run", "--limit" }, 2, nil, "--limit needs a value", "an option without its value")
check({ "run", "--limit=many", "x.lua" }, 2, nil, "'many'", "a limit that is no number")
check({ "run", "--limit", "0", "x.lua" }, 2, nil, "from 1", "a limit of 0")
check({ "run", "--threads", "-1", "x.lua" }, 2, nil, "from 1", "negative threads")
check({ "run", "--seed", "99999999999999999999", "x.lua" }, 2, nil, "--seed",
      "a seed that overflows")
check({ "run", "--precision", "int4", "x.lua" }, 2, nil, "fp32, int8, bf16 or auto",
      "a precision that there is not")
check({ "run", "--quiet=1", "x.lua" }, 2, nil, "takes no value", "a flag with a value")
check({ "run", "-o", "novalue", "x.lua" }, 2, nil, "KEY=VALUE", "-o without =")
check({ "run", "-o", "model=x", "x.lua" }, 2, nil, "--model", "-o for what is an option")
check({ "run", "--images", "x", "x.lua" }, 2, nil, "unknown option --images",
      "another verb's option")
check({ "run", "no_such.lua" }, 3, nil, "no_such.lua: no such script", "a script that is not there")
check({ "run", "--arch", "ViT-B-32", "x.lua" }, 2, nil, "--arch needs --model",
      "an architecture of no model")
check({ "doctor" }, 2, nil, "MODEL is missing", "doctor without a model")
check({ "doctor", "no_such_model" }, 3, nil, "no model 'no_such_model'", "doctor of no model")
check({ "doctor", "--jason", "pocket" }, 2, nil, "did you mean --json?", "doctor's options")
check({ "list", "nothing" }, 2, nil, "datasets, evals, models, prompts", "nothing to list")
check({ "list", "models" }, 0, "pocket", nil, "list models")
check({ "list", "datasets" }, 0, "fashion_mnist", nil, "list datasets")
check({ "list", "prompts" }, 0, "five_plain", nil, "list prompts")
check({ "list", "evals" }, 0, "which of ten pieces of clothing", nil,
      "list evals tells what each shows")

-- what the script sees
tap.write("see.lua", [[
for _, key in ipairs { "model", "data", "limit", "seed", "threads", "precision", "key", "empty" } do
  print(key, arg[key], math.type(arg[key]))
end
print(arg[0], #arg)]])
local _, seen = tap.clipeval("run", "--data=d", "see.lua", "--limit", "5", "-o", "key=a=b",
                             "-oempty=",
                             "--threads", "3", "--model", "m", "--precision=fp32")
tap.is(seen,
       "model\tm\tnil\ndata\td\tnil\nlimit\t5\tinteger\nseed\t0\tinteger\nthreads\t3\tinteger\n" ..
       "precision\tfp32\tnil\nkey\ta=b\tnil\nempty\t\tnil\nsee.lua\t0\n", "arg holds every option")
tap.write("sub/helper.lua", "return 'helped'")
tap.write("sub/main.lua", "print((require 'helper'))")
tap.is(select(2, tap.clipeval("run", "sub/main.lua")), "helped\n",
       "a script requires what lies beside it")
tap.write("sub/mine.lua", "return { templates = { 'my {}' } }")
tap.write("sub/uses.lua", "print(require 'clipeval'.prompts('mine.lua').name)")
tap.is(select(2, tap.clipeval("run", "sub/uses.lua")), "mine\n",
       "and finds prompts and datasets there")
tap.is(tap.exists(tap.directory() .. "/runs/see-m-1/report.csv"), false,
       "a plain script writes no run directory")

-- the share directory
tap.write("share/datasets/x.lua", "return {}")
tap.write("share/eval/hello.lua", "-- Says hello.\nprint 'hello'")
tap.is(select(2, tap.shell("CLIPEVAL_SHARE=share " .. tap.quote(arg.bin) .. " run hello")),
       "hello\n",
       "SCRIPT is looked up in eval/, with or without .lua")
tap.has(select(2, tap.shell("CLIPEVAL_SHARE=share " .. tap.quote(arg.bin) .. " list evals")),
        "Says hello.",
        "CLIPEVAL_SHARE says where that is")
tap.is(tap.shell(tap.quote(arg.bin) .. " --version >/dev/full"), 3,
       "stdout that cannot be written is a fault")

-- kernels
local plain = tap.quote(arg.bin) .. " --version"
local _, ours = tap.shell("env -u OPENBLAS_CORETYPE -u OPENBLAS_NUM_THREADS " .. plain)
local _, theirs = tap.shell("OPENBLAS_CORETYPE=Haswell " .. plain)
tap.has(ours, "kernel", "--version names OpenBLAS's kernel")
tap.has(theirs, "Haswell", "the user's own choice of kernel stands")
tap.done()
