"""GET /: one small static page that asks the API itself: its health, its collections, one search box."""

from __future__ import annotations

from functions.api.world import World
from shardlake.contracts.http import Request, Response

HTML = "text/html; charset=utf-8"
# The page needs nothing from elsewhere, so nothing from elsewhere may run in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shardlake</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d5dde5 }
td.n { text-align: right; font-variant-numeric: tabular-nums }
input, select, button { font: inherit; padding: .3rem .5rem }
input { width: 24rem; max-width: 100% }
pre { background: #f3f6f9; padding: .8rem; overflow-x: auto }
.muted { color: #5b6b7b }
</style>
</head>
<body>
<h1>Shardlake</h1>
<p id="health" class="muted" role="status">Asking the API…</p>
<h2>Collections</h2>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Rows</th><th scope="col">Version</th></tr></thead>
<tbody id="collections"></tbody>
</table>
<h2>Search</h2>
<form id="search">
<label>In <select id="name" required></select></label>
<label>for <input id="text" required maxlength="1000" placeholder="a red circle"></label>
<button>Search</button>
</form>
<pre id="answer" class="muted" aria-live="polite">Words need a collection with an encoder that reads text.</pre>
<p class="muted">This page shows what the API answers and keeps nothing.</p>
<script>
"use strict";
const base = location.pathname.replace(/\\/?$/, "/");
const at = (id) => document.getElementById(id);
async function ask(path, body) {
  const sent = body ? { method: "POST", body: JSON.stringify(body) } : {};
  const reply = await fetch(base + "v1/" + path, sent);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error.kind + ": " + answer.error.message);
  return answer;
}
function row(one) {
  const line = document.createElement("tr");
  for (const [text, kind] of [[one.name, ""], [one.rows, "n"], [one.version ?? "not built yet", ""]]) {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.className = kind;
    line.append(cell);
  }
  return line;
}
async function start() {
  try {
    const health = await ask("health");
    at("health").textContent = `Answering. Code ${health.code_version}, format ${health.format_version}.`;
    const { collections } = await ask("collections");
    at("collections").replaceChildren(...collections.map(row));
    at("name").replaceChildren(...collections.map((one) => new Option(one.name)));
    if (!collections.length) at("collections").innerHTML = "<tr><td colspan=3>There are none yet.</td></tr>";
  } catch (error) {
    at("health").textContent = String(error.message);
  }
}
at("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("answer").textContent = "Searching…";
  try {
    const path = `collections/${encodeURIComponent(at("name").value)}/search`;
    const found = await ask(path, { query: { text: at("text").value }, k: 10 });
    at("answer").textContent = JSON.stringify(found, null, 2);
  } catch (error) {
    at("answer").textContent = String(error.message);
  }
});
start();
</script>
</body>
</html>
"""


def console(world: World, request: Request) -> Response:
    """Answers the page."""
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return Response(status=200, body=PAGE.encode(), content_type=HTML, headers=headers)
