-- What stands in the title block, the abstract and the facts, is written as the first blocks of the text.
function Pandoc(doc)
  local body = pandoc.Blocks({})
  for _, block in ipairs(doc.blocks) do
    if block.t == "Div" and (block.identifier == "title-abstract" or block.identifier == "title-facts") then
      doc.meta[block.identifier:gsub("^title%-", "")] = pandoc.MetaBlocks(block.content)
    else
      body:insert(block)
    end
  end
  doc.blocks = body
  return doc
end
