-- Tux Paint's stamps and their captions, English or another language: do they find each other?
-- clipeval run retrieval_stamps.lua [--model M] [--data DIR] [-o language=zh_CN]
local clip = require "clipeval"

local stamps = clip.dataset("tuxpaint_stamps", { root = arg.data })

-- NAME.txt beside NAME.png: English in the first line, then lines such as "de.utf8=Ein Frosch."
local function caption(item)
  if not arg.language then return item.caption end
  for line in io.lines((item.path:gsub("%.png$", ".txt"))) do
    local language, text = line:match("^([%w_@]+)%.utf8=%s*(.-)%s*$")
    if language == arg.language and text ~= "" then return text end
  end
end

local items = {}
for _, item in ipairs(stamps.items) do
  local text = caption(item)
  if text then items[#items + 1] = { id = item.id, path = item.path, captions = { text } } end
end
if #items == 0 then error("no stamp has a caption in '" .. arg.language .. "'", 0) end

return clip.retrieval {
  model   = clip.model(arg.model),
  dataset = { name = stamps.name .. (arg.language and "_" .. arg.language or ""),
              version = stamps.version, alpha = stamps.alpha, items = items },
}
