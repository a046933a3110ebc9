-- What keeps this machine from being as fast as it could be, told of a report of clipeval bench:
-- cores that may not be used, kernels that do not suit the CPU, others that take its time.
local core = require "clipeval.core"
local util = require "clipeval.util"

local BUSY = 0.05 -- of all cores, that others took: figures are too low by about as much

-- How many CPUs a list such as "0-3,8" names.
local function count_list(text)
  local n = 0
  for first, last in (text or ""):gmatch("(%d+)%-?(%d*)") do
    n = n + (last ~= "" and last - first or 0) + 1
  end
  return math.tointeger(n)
end

local function allowed()
  return count_list((util.read("/proc/self/status") or ""):match("Cpus_allowed_list:%s*([%d,%-]+)"))
end

-- The kernels of OpenBLAS that use all of a set of instructions.
local FITTING = {
  ["AVX-512"] = util.set { "SkylakeX", "Cooperlake", "Sapphirerapids", "SapphireRapids" },
  ["AVX2"] = util.set { "Haswell", "Zen", "Excavator" },
}

local function hint_cores(hint, report)
  local cpu = report.cpu
  if report.threads < cpu.cores then
    hint("threads", "--threads takes %d of %d cores", report.threads, cpu.cores)
  end
  local may = allowed()
  if may > 0 and may < cpu.online then
    hint("affinity", "this process may use %d of the machine's %d cores (its affinity mask: " ..
         "taskset, a container's cpuset, a batch system)", may, cpu.online)
  end
  if may > 0 and cpu.cores < may then
    hint("quota", "a quota of its cgroup leaves %d of %d cores (docker --cpus, a CPU limit of " ..
         "Kubernetes)", cpu.cores, may)
  end
end

local function hint_kernels(hint, report)
  local cpu, widest = report.cpu, report.cpu.sets[#report.cpu.sets]
  if cpu.limited then
    hint("simd-limited", "CLIPEVAL_SIMD holds back this CPU's %s", widest)
  end
  local kernel = report.blas:match("kernel (%S+)")
  if not kernel then
    hint("no-openblas", "OpenBLAS is not installed: similarities are computed slowly")
  elseif FITTING[widest] and not FITTING[widest][kernel] then
    hint("openblas-kernel", "OpenBLAS runs its kernels for %s on a CPU that has %s%s", kernel,
         widest, os.getenv("OPENBLAS_CORETYPE") and " (OPENBLAS_CORETYPE says so)" or "")
  end
  if widest ~= "AVX-512" then
    hint("no-avx512", "this CPU has no AVX-512: expect half the speed of one that does")
  end
  if not cpu.vnni then
    hint("no-vnni", "this CPU %s: int8 gains little", cpu.limited and "may not use VNNI" or
         "has no VNNI")
  end
  for name, k in pairs(report.kernel) do
    if name ~= "fp32" and not k.fast and report.precisions[name] then
      hint("slow-" .. name, "%s is emulated here: right, and slow (it wants %s)", name,
           name == "int8" and "VNNI" or "AVX-512 BF16")
    end
  end
end

local function hint_speed(hint, report)
  local kernel = report.kernel.fp32
  if kernel.share < 0.5 then
    hint("slow-kernel", "the fp32 kernel reaches only %.0f %% of the peak: something else is " ..
         "running, or this CPU lacks a kernel that suits it", 100 * kernel.share)
  end
  if report.threads > 1 then
    local gain = kernel.all / kernel.one / report.threads
    if gain < 0.8 then
      hint("cores-shared", "%d cores do %.1f times the work of one: they share units " ..
           "(hyper-threads), power, or time with others", report.threads, gain * report.threads)
    end
  end
  local fp32 = report.precisions.fp32
  for name, p in pairs(report.precisions) do
    if fp32 and name ~= "fp32" and report.kernel[name].fast and p.images < fp32.images then
      hint("slower-" .. name, "%s is slower than fp32 for this model's pictures on this CPU", name)
    end
  end
end

local function hint_conditions(hint, report)
  local o = report.others
  if o and o.stolen > 0.01 then
    hint("stolen", "the host took %.0f %% of the time for other machines: figures are too low",
         100 * o.stolen)
  end
  if o and o.busy > BUSY then
    hint("busy", "other processes had %.0f %% of the cores meanwhile: figures are too low",
         100 * o.busy)
  end
  local cpu = "/sys/devices/system/cpu/cpu0/cpufreq/"
  local governor = (util.read(cpu .. "scaling_governor") or ""):match("%S+")
  local driver = (util.read(cpu .. "scaling_driver") or ""):match("%S+") or ""
  if governor == "powersave" and not driver:find("pstate") then
    hint("governor", "the CPU's clock is held low (cpufreq governor powersave)")
  end
  for _, name in ipairs(core.list("/sys/class/power_supply") or {}) do
    local online = util.read("/sys/class/power_supply/" .. name .. "/online")
    local kind = util.read("/sys/class/power_supply/" .. name .. "/type") or ""
    if kind:find("Mains") and online and online:find("0") then
      hint("battery", "running on battery: the clock may be held low")
    end
  end
end

-- report.hints = { {code =, text =}, ... }: what stands in the way of what was measured.
return function(report)
  report.hints = {}
  local function hint(code, format, ...)
    table.insert(report.hints, { code = code, text = format:format(...) })
  end
  for _, add in ipairs { hint_cores, hint_kernels, hint_speed, hint_conditions } do
    add(hint, report)
  end
  table.sort(report.hints, function(a, b) return a.code < b.code end)
end
