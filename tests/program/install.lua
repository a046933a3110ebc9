-- The installed program: works from any directory, without the source tree.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local build = arg.bin:match("^(.*)/[^/]*$")

if not tap.exists(build .. "/cmake_install.cmake") then
  tap.skip("the installed program", "the program is not in a build directory")
  return tap.done()
end
local code, _, stderr = tap.shell(("cmake --install %s --prefix there"):format(tap.quote(build)))
tap.is(code, 0, "cmake --install")
local installed = tap.quote(tap.directory() .. "/there/bin/clipeval")
tap.has(select(2, tap.shell(installed .. " --version")), tap.directory() .. "/there/share/clipeval",
        "the share directory lies beside it")
tap.has(select(2, tap.shell("cd / && " .. installed .. " list models")),
        "pocket", "the embedded model is there")
for _, file in ipairs { "eval/folders.lua", "datasets/fashion_mnist.lua",
                        "datasets/shared/imagenet.lua", "prompts/five_plain.lua",
                        "library/clipeval.lua", "models/pocket/open_clip_model.safetensors" } do
  tap.ok(tap.exists(tap.directory() .. "/there/share/clipeval/" .. file), file)
end
for _, file in ipairs { "LICENSE", "LICENSE-clip-bpe" } do
  tap.ok(tap.exists(tap.directory() .. "/there/share/doc/clipeval/" .. file), file)
end
tap.is(tap.shell("find there -name '*.py' | grep -c ."), 1, "no training scripts")
code = tap.shell(installed .. " run --quiet folders.lua --limit 3 --data " ..
                 tap.quote(arg.source .. "/tests/golden/zeroshot/folders"))
tap.is(code, 0, "it evaluates")
tap.done()
