-- PDF/UA wants alternative text on every equation: its TeX source, which readers of mathematics know how to hear.
function Math(math)
  local typst = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ math }) }), "typst"):gsub("%s+$", "")
  local alt = math.text:gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("%s+", " ")
  local block = tostring(math.mathtype == "DisplayMath")
  return pandoc.RawInline("typst", string.format('#math.equation(block: %s, alt: "%s", %s)', block, alt, typst))
end
