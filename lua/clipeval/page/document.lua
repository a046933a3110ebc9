-- The page as a whole: the template filled in, and written.
local core = require "clipeval.core"
local h = require "clipeval.page.markup"
local template = require "clipeval.page.template_html"
local util = require "clipeval.util"

local document = {}

function document.make(title, body)
  local slots = { title = h.escape(title), body = body.text,
                  version = h.escape(core.about().version) }
  return (template:gsub("%$(%l+)", slots))
end

function document.footer(room)
  return h.footer {
    h.p { ("Made by clipeval %s. This page is one file and asks for nothing else."):format(
            core.about().version) },
    room and room.refused > 0 and h.p(("%s left out, to keep the page below 4 MB."):format(
      util.count(room.refused, "picture or table", "pictures or tables"))) or false,
  }
end

return document
