(() => {
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const tools = document.querySelector(".tools"), [code, dark] = tools.querySelectorAll("button");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const tell = () => dark.setAttribute("aria-pressed", isDark());
  tools.hidden = false;
  tell();
  system.addEventListener("change", tell);
  dark.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; tell(); });

  const folded = [...document.querySelectorAll("details.code")];
  code.hidden = folded.length === 0;
  code.addEventListener("click", () => {
    const open = code.getAttribute("aria-pressed") !== "true";
    code.setAttribute("aria-pressed", open);
    folded.forEach(part => { part.open = open; });
  });

  const links = new Map([...document.querySelectorAll("#contents a")].map(a => [decodeURIComponent(a.hash.slice(1)), a]));
  const parts = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
  let waiting = false, marked = null;
  const mark = () => {
    waiting = false;
    const ended = innerHeight + scrollY >= root.scrollHeight - 2;
    const read = parts.filter(part => part.getBoundingClientRect().top < innerHeight / (ended ? 1 : 4)).pop();
    const link = read && links.get(read.id);
    if (link === marked) return;
    marked && marked.removeAttribute("aria-current");
    marked = link;
    if (!link) return;
    link.setAttribute("aria-current", "true");
    const box = document.getElementById("contents");
    if (box.scrollHeight > box.clientHeight) box.scrollTop = link.offsetTop - box.clientHeight / 2;
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
  mark();
})();
