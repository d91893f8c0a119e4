// Description:
//   Deploys through GitHub deployments; asks Kedge what is live, what waits and why; locks and unlocks.
//
// Configuration:
//   KEDGE_URL - where Kedge is, https://kedge.example.com
//   KEDGE_TOKEN - its token: kedge token create hubot --owner LOGIN --scope read --scope lock
//   HUBOT_GITHUB_TOKEN - token of the account that creates the deployments; it needs push access to the repositories
//   GITHUB_API_URL - https://api.github.com; on GitHub Enterprise Server https://HOST/api/v3
//
// Commands:
//   hubot deploy <app>[/<ref>] [to <env>[/<hosts>]] - deploy a branch, tag or sha; without one the default branch
//   hubot deploy! <app>[/<ref>] [to <env>] - the same, past red or pending checks
//   hubot deploy:<task> <app>[/<ref>] [to <env>] - run another task of the app
//   hubot deploys <app> [in <env>] - the newest deploys
//   hubot where can i deploy <app> - its environments: what is live, runs, waits, and who has locked them
//   hubot lock <app> <env> [for 2h] [reason] - hold an environment
//   hubot unlock <app> <env> - let it go
//   hubot queue <app> [in <env>] - what runs and what waits, in order
//   hubot why <app>#<number> | why <app> [in <env>] - why it is not deployed yet

/** How long one request may take. */
const PATIENCE_MS = 10_000;
/** How long to wait for Kedge to be heard of a new deployment, and how long for more than that it waits. */
const HEARD_WITHIN_MS = 15_000;
const SETTLED_WITHIN_MS = 3_000;
const LOOK_EVERY_MS = 500;

/** Something to be said as it is: what went wrong and what to do next. */
class Told extends Error {}

// The grammar, that of hubot-deploy and a little more. Pure.

const NAME = "([-_.0-9a-z]+)";
const PLACE = `(?:\\s+(?:to|in|on)\\s+${NAME})`;
const MORE = "(?:/(\\S+))?";
const OF = `${NAME}(?:\\s+(?:to|in|on))?\\s+${NAME}`;
/** `for 2h`, `for 30 minutes`, and not `for 2 months`. */
const LASTING = "(?:\\s+for\\s+(\\d+)\\s?([smhdw])(?:ec(?:ond)?s?|in(?:ute)?s?|ours?|ays?|eeks?)?\\b)?";
const GRAMMAR = [
  ["lock", `(?:deploy:)?lock\\s+${OF}${LASTING}(?:\\s*[:,]?\\s+(.+))?`, "app env number unit reason"],
  ["unlock", `(?:deploy:)?unlock\\s+${OF}`, "app env"],
  ["deploy", `deploy(?::([^\\s!]+))?(!)?\\s+${NAME}${MORE}(?:${PLACE}${MORE})?`, "task force app ref env hosts"],
  ["deploys", `deploys\\s+${NAME}${PLACE}?`, "app env"],
  ["where", `where\\s+can\\s+i\\s+deploy\\s+${NAME}\\??`, "app"],
  ["queue", `queue\\s+${NAME}${PLACE}?`, "app env"],
  ["why", `why\\s+${NAME}(?:\\s*#|\\s+)(\\d+)\\??`, "app number"],
  ["why", `why\\s+${NAME}${PLACE}?\\??`, "app env"],
].map(([name, pattern, words]) => [name, new RegExp(`^${pattern}$`, "i"), words.split(" ")]);
const USAGE = {
  deploy: "deploy[:task][!] app[/ref] [to env[/hosts]]",
  deploys: "deploys app [in env]",
  where: "where can i deploy app",
  lock: "lock app env [for 2h] [reason]",
  unlock: "unlock app env",
  queue: "queue app [in env]",
};
/** What a message must begin with to be one of the commands. */
const COMMAND = /((?:deploys?|lock|unlock|queue|why|where\s+can\s+i\s+deploy)\b[\s\S]*)/i;

/** The command that a text is; `{name: "usage", …}` where it only begins like one; null where it is none. */
export function parse(text) {
  const line = text.trim().replace(/\s+/g, " ");
  for (const [name, pattern, words] of GRAMMAR) {
    const match = pattern.exec(line);
    if (!match) continue;
    const said = Object.fromEntries(words.map((word, index) => [word, match[index + 1]]));
    return { name, ...said, app: said.app.toLowerCase() };
  }
  const usage = USAGE[/^[a-z]+/i.exec(line)?.[0].toLowerCase()];
  return usage ? { name: "usage", usage } : null;
}

// Kedge and GitHub

/** One request: {status, data}, data null where the answer is no JSON. Throws Told where there is no answer. */
async function call(who, base, token, path, { method = "GET", body, headers = {} } = {}) {
  try {
    const response = await fetch(base.replace(/\/+$/, "") + path, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        "Content-Type": "application/json",
        "User-Agent": "kedge-hubot",
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await response.text();
    return { status: response.status, data: json(text) };
  } catch (error) {
    const late = error.name === "TimeoutError" && `no answer within ${PATIENCE_MS / 1000} s`;
    const why = (late || error.cause?.code || error.message).replaceAll(token, "[secret]");
    throw new Told(`${who} cannot be reached at ${base} (${why}).`);
  }
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function setting(name, what) {
  const value = process.env[name]?.trim();
  if (!value) throw new Told(`Hubot lacks the setting ${name}: set it to ${what}, and start Hubot again.`);
  return value;
}

/** What Kedge's API answers; throws Told with its own sentence and way on. */
async function kedge(path, request) {
  const base = setting("KEDGE_URL", "Kedge's address");
  const token = setting("KEDGE_TOKEN", "a token with the scopes read and lock");
  const { status, data } = await call("Kedge", base, token, `/api/0${path}`, request);
  if (status < 300) return data;
  if (status === 401) throw new Told("Kedge does not accept KEDGE_TOKEN; make one that it does: kedge token create.");
  const { message, hint } = data?.error ?? {};
  if (message) throw new Told([message, hint].filter(Boolean).join(" "));
  throw new Told(`${base} answered ${status}, and not as Kedge does; look at KEDGE_URL.`);
}

/** What GitHub's REST API answers. https://docs.github.com/en/rest */
async function github(repository, path, request) {
  const token = setting("HUBOT_GITHUB_TOKEN", "a token of the account that is to create deployments");
  const base = process.env.GITHUB_API_URL?.trim() || "https://api.github.com";
  const headers = { Accept: "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28" };
  const { status, data } = await call("GitHub", base, token, `/repos/${repository}${path}`, { ...request, headers });
  if (status < 300) return data;
  if (status === 401) throw new Told("GitHub does not accept HUBOT_GITHUB_TOKEN; set it to one that is in force.");
  if (status === 403 || status === 404) {
    const needs = "it needs push access, and the permission Deployments (write)";
    throw new Told(`GitHub does not let HUBOT_GITHUB_TOKEN create deployments in ${repository}: ${needs}.`);
  }
  throw new Told(`GitHub refused: ${data?.message ?? `it answered ${status}`}`);
}

const part = encodeURIComponent;

function query(given) {
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  return known.length ? `?${new URLSearchParams(known)}` : "";
}

/** The environment of that name or alias; without a name the only one, else production. */
function environmentIn(app, name) {
  const names = app.environments.map((one) => one.name);
  const wanted = (name ?? (names.length === 1 ? names[0] : "production")).toLowerCase();
  const goesBy = (one) => [one.name, ...one.aliases].map((known) => known.toLowerCase());
  const found = app.environments.find((one) => goesBy(one).includes(wanted));
  if (found) return found;
  const way = name ? `There is no environment ${name} of ${app.name}.` : "Say which environment.";
  throw new Told(`${way} There is: ${names.join(", ")}.`);
}

// Sentences

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function clock(text) {
  const at = new Date(text);
  const two = (number) => String(number).padStart(2, "0");
  return `${MONTHS[at.getUTCMonth()]} ${at.getUTCDate()}, ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC`;
}

function what(one) {
  const task = one.task === "deploy" ? "" : `${one.task} of `;
  return `${task}${one.ref === one.sha ? "" : `${one.ref} `}(${one.sha.slice(0, 7)})`;
}

function named(one) {
  const whom = one.on_behalf_of ? ` for ${one.on_behalf_of}` : "";
  return `${one.app}#${one.number}: ${what(one)} to ${one.environment} by ${one.user}${whom}`;
}

function locked(lock) {
  const until = lock.until ? ` until ${clock(lock.until)}` : "";
  const held = lock.environment ?? lock.app ?? "Everything";
  return `${held} is locked by ${lock.who} since ${clock(lock.since)}${until}: ${lock.reason.replace(/\.$/, "")}.`;
}

/** Where a deploy stands, in one sentence or as many as it has blockers. */
function standing(one) {
  const blockers = one.blockers.map((blocker) => blocker.message).join(" ");
  if (one.state === "queued") return `waits. ${blockers || "In line."}`;
  if (one.lost_since) return `has lost its runner ${one.runner} since ${clock(one.lost_since)}.`;
  if (one.state === "claimed") return `is being prepared by runner ${one.runner}.`;
  if (one.state === "running") return `runs on ${one.runner} since ${clock(one.started_at)}.`;
  const why = blockers || (one.reason && `${one.reason.replace(/\.$/, "")}.`);
  return `${one.state} ${clock(one.ended_at)}${why ? `: ${why}` : "."}`;
}

const told = (one) => `${named(one)} ${standing(one)} ${one.url}`;

// The commands: each gives the reply, or throws Told.

const appOf = (name) => kedge(`/${part(name)}`);

async function deploy({ task, force, app: name, ref, env, hosts }, asker) {
  const app = await appOf(name);
  if (app.via !== "github") throw new Told(`${app.name} is not deployed through GitHub; use kedge deploy ${app.name}.`);
  if (!app.repository) throw new Told(`Which repository is ${app.name} in? Set \`repository\` in its config.`);
  const { name: environment, default_ref } = environmentIn(app, env);
  const wanted = ref ?? default_ref ?? (await github(app.repository, "")).default_branch;
  const made = await create(app, {
    ref: wanted,
    task: task ? `deploy:${task}` : "deploy",
    environment,
    auto_merge: false,
    required_contexts: [],
    description: `${task ?? "deploy"} on ${environment} for ${asker.notify.user_name} from Hubot`.slice(0, 140),
    payload: { app: app.name, name: app.name, hosts: hosts ?? "", ...(force ? { force: true } : {}), ...asker },
  });
  const asked = `${app.name}: ${wanted} to ${environment}`;
  try {
    return await heard(app, made, asked);
  } catch (error) {
    if (!(error instanceof Told)) throw error;
    const unknown = `GitHub has it as deployment ${made.id}, but how it stands is not known`;
    throw new Told(`${asked}: ${unknown}. ${error.message}`);
  }
}

async function create(app, body) {
  try {
    return await github(app.repository, "/deployments", { method: "POST", body });
  } catch (error) {
    if (!(error instanceof Told) || !error.message.includes("cannot be reached")) throw error;
    const unsure = "Whether the deployment was created is not known";
    throw new Told(`${error.message} ${unsure}: look with “deploys ${app.name}” before you ask again.`);
  }
}

/** What Kedge made of a deployment: refused, running, or waiting for what. */
async function heard(app, deployment, asked) {
  const began = Date.now();
  for (;;) {
    const [status] = await github(app.repository, `/deployments/${deployment.id}/statuses?per_page=1`);
    const waited = Date.now() - began;
    const moving = ["queued", "pending"].includes(status?.state);
    if (status && (!moving || waited >= SETTLED_WITHIN_MS)) {
      const number = /\/deploys\/(\d+)$/.exec(status.log_url)?.[1];
      return number ? told(await oneDeploy(app.name, number)) : `${asked}: ${status.description}`;
    }
    if (waited >= HEARD_WITHIN_MS) {
      const unheard = `GitHub has it as deployment ${deployment.id}, but Kedge has not answered yet.`;
      const way = `Is its GitHub App installed on ${app.repository}? Look with “deploys ${app.name}”.`;
      return `${asked}: ${unheard} ${way}`;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

const oneDeploy = (app, number) => kedge(`/${part(app)}/deploys/${number}`);

async function deploys({ app, env }) {
  const { items } = await kedge(`/${part(app)}/deploys${query({ env, limit: 10 })}`);
  const to = env ? ` to ${env}` : "";
  if (!items.length) return `${app} has not been deployed${to} yet. Start with “deploy ${app}${to}”.`;
  return items.map((one) => `${named(one)} ${standing(one)}`).join("\n");
}

async function where({ app: name }) {
  const app = await appOf(name);
  return [`${app.name} (${app.repository ?? "repository not known yet"}):`, ...app.environments.map(around)].join("\n");
}

function around(one) {
  const said = [one.live ? `${what(one.live)} is live since ${clock(one.live_since)}` : "nothing is live"];
  if (one.running) said.push(`${one.running.app}#${one.running.number} runs`);
  if (one.waiting) said.push(`${one.waiting} in line`);
  return [`${one.name}: ${said.join(", ")}.`, ...one.locks.map(locked)].join(" ");
}

async function lock({ app, env, number, unit, reason }, { notify }) {
  const by = notify.user_name;
  const body = { reason: reason ? `${reason} (${by})` : `asked for in chat by ${by}` };
  if (number) body.for = number + unit.toLowerCase();
  const held = await kedge(`/${part(app)}/locks/${part(env)}`, { method: "PUT", body });
  const going = held.running.map((one) => ` ${one.app}#${one.number} runs on; a lock holds what has not begun.`);
  return `${locked(held)}${going.join("")} To release it: unlock ${app} ${env}`;
}

async function unlock({ app, env }) {
  await kedge(`/${part(app)}/locks/${part(env)}`, { method: "DELETE" });
  const { items } = await kedge(`/${part(app)}/locks/${part(env)}`);
  return [`${env} of ${app} is unlocked.`, ...items.map(locked)].join(" ");
}

async function queue({ app, env }) {
  const { items } = await kedge(`/${part(app)}/queue${query({ env })}`);
  if (!items.length) return `Nothing runs or waits${env ? ` for ${env}` : ""} of ${app}.`;
  return items.map((one) => `${one.position ? `${one.position}. ` : ""}${named(one)} ${standing(one)}`).join("\n");
}

async function why({ app: name, number, env }) {
  if (number) return told(await oneDeploy(name, number));
  const app = await appOf(name);
  const place = environmentIn(app, env);
  const first = place.queue[0] ?? place.running;
  return first ? told(first) : `Nothing runs or waits for ${place.name} of ${app.name}. ${around(place)}`;
}

/** Who asks, from where: shown as "for alice", and never deciding. */
function askerOf(robot, { message, envelope }) {
  const notify = {
    adapter: robot.adapterName,
    room: message.room ?? envelope.room,
    user: message.user.id,
    user_name: message.user.name ?? message.user.id,
    message_id: message.id,
    thread_id: message.thread_ts ?? message.thread_id,
  };
  return { robotName: robot.name, notify };
}

const usage = ({ usage: form }) => `Say it like this: ${form}`;
const COMMANDS = { deploy, deploys, where, lock, unlock, queue, why, usage };

export default async (robot) => {
  robot.respond(COMMAND, async (response) => {
    const command = parse(response.match[1]);
    if (!command) return;
    let reply;
    try {
      reply = await COMMANDS[command.name](command, askerOf(robot, response));
    } catch (error) {
      if (!(error instanceof Told)) robot.logger.error(error);
      const failed = `That failed in Hubot itself (${error.message}); its log says more.`;
      reply = error instanceof Told ? error.message : failed;
    }
    await response.reply(reply);
  });
};
