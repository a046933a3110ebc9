-- Tables, each in a box in which it scrolls where the page is narrower.
local h = require "clipeval.page.markup"

local tables = {}

-- columns: list of {head, class, short}, rows: list of cells, with class for the row's own; the
-- cell of a column of class "name" is the row's heading. options: class, label; plotted: on a
-- narrow page the cells of a row flow, each behind its column's short word where it has one, so
-- what they are is told by roles as well.
function tables.make(columns, rows, options)
  local plotted = options.plotted
  local function role(name) return plotted and name or nil end
  local head, body = {}, {}
  for i, column in ipairs(columns) do
    head[i] = h.th { class = column[2], scope = "col", role = role "columnheader", column[1] }
  end
  for r, row in ipairs(rows) do
    local cells = {}
    for i, column in ipairs(columns) do
      local is_name = column[2] == "name"
      cells[i] = (is_name and h.th or h.td) {
        class = column[2], scope = is_name and "row" or nil,
        role = role(is_name and "rowheader" or "cell"), data_head = plotted and column[3],
        row[i] or "" }
    end
    body[r] = h.tr { class = row.class, role = role "row", cells }
  end
  return h.div {
    class = "scroll", tabindex = "0", role = "region", aria_label = options.label,
    h.table { class = (plotted and "plotted " or "") .. (options.class or ""),
              role = role "table", aria_label = role(options.label),
              h.thead { role = role "rowgroup", h.tr { role = role "row", head } }, "\n",
              h.tbody { role = role "rowgroup", body } },
  }
end

-- Name and value, one below the other. rows: list of {name, cell, ...}
function tables.facts(rows, heads)
  local width = heads and #heads + 1 or 2
  local body = {}
  for r, row in ipairs(rows) do
    local cells = { h.th { scope = "row", row[1] } }
    for i = 2, width do cells[i] = h.td(row[i] or "") end
    body[r] = h.tr { class = row.class, cells }
  end
  local head = {}
  for i = 1, width do
    head[i] = i == 1 and h.td "" or h.th { scope = "col", heads and heads[i - 1] or "" }
  end
  return h.div {
    class = "scroll facts", tabindex = "0", role = "region", aria_label = "What was evaluated",
    h.table { class = "facts", heads and h.thead(h.tr(head)) or false, h.tbody(body) },
  }
end

return tables
