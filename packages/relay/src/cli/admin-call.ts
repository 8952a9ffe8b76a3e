/** One call of the control API of a running relay. */
import { isObject } from "@millrace/wire/json-values";

const CALL_MS = 30_000;

/** It is unknown whether the relay did what it was asked. */
export class Unconfirmed extends Error {}

/** @returns the parsed answer. @throws with a sentence that says what to do; if the relay refuses, with the relay's own sentence. */
export async function adminCall(
  url: string,
  token: string,
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { origin } = readUrl(url);
  if (!/^[\x21-\x7e]*$/.test(token))
    throw new Error("MILLRACE_ADMIN_TOKEN holds a blank, a line end or another character that no token has");
  const response = await fetch(origin + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    redirect: "error",
    signal: AbortSignal.timeout(CALL_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    throw new Unconfirmed(
      `no answer from ${origin} (${error instanceof Error ? error.name : "unknown"}): is the relay running, and is MILLRACE_URL right?`,
    );
  });
  const answer: unknown = await response.json().catch(() => null);
  const error = errorIn(answer);
  if (error?.code === "store_unavailable") throw new Unconfirmed(error.message);
  if (!response.ok && error !== null) throw new Error(error.message);
  if (!response.ok || !isObject(answer))
    throw new Error(`${origin} answered ${response.status}, but not as a relay does: is MILLRACE_URL right?`);
  return answer;
}

function readUrl(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw new Error("MILLRACE_URL is not the address of a relay: write it as http://127.0.0.1:8787");
  return parsed;
}

/** The error in a relay's answer; null if the answer came from another server. */
function errorIn(answer: unknown): { code: string; message: string } | null {
  const error = isObject(answer) ? answer["error"] : null;
  if (!isObject(error) || typeof error["request_id"] !== "string") return null;
  const { code, message } = error;
  return typeof code === "string" && typeof message === "string" ? { code, message } : null;
}
