// Keeps what is shown true: parts of the page that change are loaded again, and the log is followed as it grows.
"use strict";

// One deploy is watched closely; a page of many costs the app more.
const REFRESH_MS = document.getElementById("log") ? 2000 : 5000;
const MOST_CHARACTERS = 4 * 1024 * 1024;

function parts(root) {
  return new Map([...root.querySelectorAll("[data-live]")].map((part) => [part.dataset.live, part]));
}

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected || !response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = parts(page);
  for (const [name, part] of parts(document)) {
    const next = fresh.get(name);
    if (!next || next.outerHTML === part.outerHTML) continue;
    const used = part.contains(document.activeElement) ? document.activeElement.outerHTML : null;
    part.replaceWith(document.adoptNode(next));
    document.title = page.title;
    // Whoever is about to use something by keyboard stays where they are.
    const same = used && [...next.querySelectorAll("a, button, [tabindex]")].find((one) => one.outerHTML === used);
    if (same) same.focus({ preventScroll: true });
  }
}

function keepFresh() {
  const live = parts(document);
  if ([...live.values()].some((part) => "done" in part.dataset) || !live.size) return;
  setTimeout(async () => {
    if (!document.hidden) await refresh().catch(() => {});
    keepFresh();
  }, REFRESH_MS);
}

function follow(log) {
  const state = document.getElementById("log-state");
  const label = document.getElementById("log-follow");
  const box = label.querySelector("input");
  label.hidden = false;
  const toEnd = () => {
    if (box.checked) log.scrollTop = log.scrollHeight;
  };
  box.addEventListener("change", toEnd);
  log.addEventListener("scroll", () => {
    box.checked = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  });
  toEnd();
  if ("whole" in log.dataset) return;
  const source = new EventSource(`${log.dataset.url}?offset=${log.dataset.offset}`);
  source.onopen = () => {
    state.textContent = "Following live.";
  };
  source.onerror = () => {
    state.textContent = source.readyState === EventSource.CLOSED ? "Not followed any more; load the page again." : "Connecting again …";
  };
  let length = log.textContent.length;
  source.onmessage = (event) => {
    log.append(event.data);
    length += event.data.length;
    while (length > MOST_CHARACTERS && log.childNodes.length > 1) {
      length -= log.firstChild.length;
      log.firstChild.remove();
    }
    toEnd();
  };
  source.addEventListener("end", (event) => {
    source.close();
    state.textContent = `The log is complete: ${event.data}.`;
    refresh().catch(() => {});
  });
}

const log = document.getElementById("log");
if (log) follow(log);
keepFresh();
