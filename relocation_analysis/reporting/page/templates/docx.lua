-- Word gets real tables: what a table's HTML says is read again. Chinese has no italics: what is stressed is bold.
local chinese = false

local function cell_text(block)
  return pandoc.Div({ pandoc.Para(block.content) }, { ["custom-style"] = "Table Text" })
end

local function table_of(raw)
  if raw.format ~= "html" then return nil end
  local html = raw.text:gsub('class="(%a+)"', 'style="text-align: %1"')
  local blocks = pandoc.read(html, "html").blocks
  return blocks:walk({ Plain = cell_text })
end

return {
  {
    Meta = function(meta)
      chinese = pandoc.utils.stringify(meta["page-lang"] or ""):sub(1, 2) == "zh"
    end,
  },
  { RawBlock = table_of },
  {
    Emph = function(emph) if chinese then return pandoc.Strong(emph.content) end end,
    Pandoc = function(doc)
      if doc.meta.facts then
        doc.blocks:insert(1, pandoc.Div(doc.meta.facts, { ["custom-style"] = "Facts" }))
      end
      if doc.meta.citation then
        doc.blocks:insert(pandoc.Div({ pandoc.Para(doc.meta.citation) }, { ["custom-style"] = "Exhibit Note" }))
      end
      return doc
    end,
  },
}
