// What is understood of what people type; run by `node --test`.
import assert from "node:assert/strict";
import test from "node:test";
import { parse } from "../../manifests/hubot/kedge.mjs";

/** Without what was not said. */
const said = (text) => {
  const command = parse(text);
  return command && Object.fromEntries(Object.entries(command).filter(([, value]) => value !== undefined));
};

for (const [text, command] of [
  ["deploy hello", { name: "deploy", app: "hello" }],
  ["deploy hello/main", { name: "deploy", app: "hello", ref: "main" }],
  ["deploy hello/feature/login to staging", { name: "deploy", app: "hello", ref: "feature/login", env: "staging" }],
  ["deploy Hello in production/web1,web2", { name: "deploy", app: "hello", env: "production", hosts: "web1,web2" }],
  ["deploy! hello on stg", { name: "deploy", force: "!", app: "hello", env: "stg" }],
  ["deploy:migrate! hello/v1.2 to staging", { name: "deploy", task: "migrate", force: "!", app: "hello", ref: "v1.2", env: "staging" }],
  ["  DEPLOY   hello   TO  staging ", { name: "deploy", app: "hello", env: "staging" }],
  ["deploys hello", { name: "deploys", app: "hello" }],
  ["deploys hello in production", { name: "deploys", app: "hello", env: "production" }],
  ["where can i deploy hello?", { name: "where", app: "hello" }],
  ["Where can I deploy hello", { name: "where", app: "hello" }],
  ["lock hello production", { name: "lock", app: "hello", env: "production" }],
  ["lock hello in production: broken db", { name: "lock", app: "hello", env: "production", reason: "broken db" }],
  ["lock hello production for 2h", { name: "lock", app: "hello", env: "production", number: "2", unit: "h" }],
  ["lock hello production for 30 minutes, db\nmigration", { name: "lock", app: "hello", env: "production", number: "30", unit: "m", reason: "db migration" }],
  ["lock hello production for maintenance", { name: "lock", app: "hello", env: "production", reason: "for maintenance" }],
  ["lock hello production for 2 months", { name: "lock", app: "hello", env: "production", reason: "for 2 months" }],
  ["deploy:lock hello to production", { name: "lock", app: "hello", env: "production" }],
  ["unlock hello in production", { name: "unlock", app: "hello", env: "production" }],
  ["deploy:unlock hello to production", { name: "unlock", app: "hello", env: "production" }],
  ["queue hello", { name: "queue", app: "hello" }],
  ["queue hello in staging", { name: "queue", app: "hello", env: "staging" }],
  ["why hello#12", { name: "why", app: "hello", number: "12" }],
  ["why hello 12?", { name: "why", app: "hello", number: "12" }],
  ["why hello in production?", { name: "why", app: "hello", env: "production" }],
]) {
  test(text, () => assert.deepEqual(said(text), command));
}

test("what only begins like a command is answered with how to say it", () => {
  for (const text of ["deploy", "deploy hello main production", "deploy hello; rm -rf /", "lock hello", "unlock", "queue", "deploys a b"])
    assert.equal(parse(text).name, "usage", text);
});

test("what is no command is left to others", () => {
  for (const text of ["why is the sky blue?", "hello", "redeploy hello", ""]) assert.equal(parse(text), null, text);
});
