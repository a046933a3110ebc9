-- clipeval bench: the table, the JSON object, and what they must agree on. No time is asserted.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"

local code, screen, stderr = tap.clipeval("bench", "--threads", "1", "--drift")
tap.is(code, 0, "the table: exit code 0")
tap.is(stderr, "", "nothing on stderr")
for _, part in ipairs { "CPU        ", "engine     ", "model      pocket: ModifiedResNet",
                        "one core", "FMA peak, ", "kernel, fp32", "kernel, int8", "kernel, bf16",
                        "GFLOP/s", "of the peak", "JPEG to pixels", "500 x 375", "images/s",
                        "prompts/s", "first embedding", "cosine with fp32", "200 texts",
                        "same text first" } do
  tap.has(screen, part, "the table shows " .. part)
end
tap.ok(not screen:find("one core +%d"), "one thread: no second column")

local out
code, out, stderr = tap.clipeval("bench", "--json", "--precision", "int8", "--threads", "2")
tap.is(code, 0, "--json: exit code 0")
tap.is(stderr, "", "nothing on stderr")
local report = assert(clip.json(out))
tap.is(report.threads, 2, "the threads")
tap.is(report.model.name, "pocket", "the model")
tap.ok(report.cpu.cores >= 1 and report.cpu.online >= report.cpu.cores, "cores")
tap.is(#report.peak, #report.cpu.sets, "a peak for each set of instructions")
local limit = 0
for _, peak in ipairs(report.peak) do
  tap.ok(peak.one > 0 and peak.all > 0, peak.set .. ": a positive peak")
  limit = math.max(limit, peak.one)
end
local kernel = report.kernel.fp32
tap.ok(kernel.one > 0 and kernel.one <= limit * 1.05, "the kernel is within the peak",
       ("%.1f of %.1f GFLOP/s"):format(kernel.one, limit))
tap.near(kernel.share, kernel.one / limit, 1e-9, "its share")
tap.ok(report.kernel.int8.one > 0 and report.kernel.int8.engine ~= "", "the kernel of int8")
local int8 = report.precisions.int8
tap.ok(int8.images > 0 and int8.prompts > 0 and int8.first > 0, "what the model does in int8")
tap.is(report.precisions.fp32, nil, "--precision int8: no other is measured")
tap.ok(report.pictures.one > 0 and report.pictures.width == 500, "pictures decoded")
tap.is(type(report.hints), "table", "hints")
for _, hint in ipairs(report.hints) do
  tap.ok(#hint.code > 0 and #hint.text > 0, "a hint: " .. hint.code)
end

local function hints(environment)
  local line = { environment, tap.quote(arg.bin), "bench --json --precision fp32 --threads 1" }
  local status, text, fault = tap.shell(table.concat(line, " "))
  tap.is(status, 0, environment .. ": exit code 0")
  local parsed, codes = assert(clip.json(text), fault), {}
  for _, hint in ipairs(parsed.hints) do codes[hint.code] = hint.text end
  return codes, parsed
end

if #report.cpu.sets == 3 then -- AVX-512
  local codes = hints "OPENBLAS_CORETYPE=Haswell CLIPEVAL_SIMD=avx2"
  tap.has(codes["simd-limited"], "AVX-512", "kernels that are held back are told")
  tap.has(codes["openblas-kernel"], "OPENBLAS_CORETYPE", "kernels of another CPU are told")
  tap.ok(codes["no-vnni"], "so is what int8 misses")
else
  tap.skip("kernels that are held back", "no AVX-512")
end
local cores = report.cpu.online
if cores > 1 and os.execute("command -v taskset >/dev/null") then
  local codes, alone = hints "taskset -c 0"
  tap.is(alone.cpu.cores, 1, "taskset leaves one core")
  tap.has(codes.affinity, ("1 of the machine's %d cores"):format(cores), "and it is told")
else
  tap.skip("an affinity mask", "one core, or no taskset")
end

local function refused(want, part, ...)
  local status, _, fault = tap.clipeval("bench", ...)
  tap.is(status, want, part .. ": exit code")
  tap.has(fault, part, part)
end
refused(2, "unknown option --prescision (did you mean --precision?)", "--prescision", "int8")
refused(2, "--precision must be fp32, int8, bf16 or auto", "--precision", "int4")
refused(2, "one argument too many: 'pocket'", "pocket")
refused(2, "--threads needs an integer", "--threads", "0")
refused(2, "--arch needs --model", "--arch", "ViT-B-32")
refused(3, "no model 'nowhere'", "--model", "nowhere")
tap.done()
