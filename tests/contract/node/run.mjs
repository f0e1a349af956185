// node run.mjs URL: every check, then one JSON object: name -> null or what went wrong.

import OpenAI from "openai";
import { checks } from "./checks.mjs";

const baseURL = `${process.argv[2]}/v1`;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 120_000 });
const found = {};
for (const [name, check] of Object.entries(checks)) {
  try {
    await check(client);
    found[name] = null;
  } catch (error) {
    found[name] = error.stack ?? String(error);
  }
}
console.log(JSON.stringify(found));
