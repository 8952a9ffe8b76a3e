/** One call of the control API of a running relay. */

const CALL_MS = 30_000;

/** @returns the parsed answer; null for 404. @throws with the relay's own sentence when it refuses. */
export async function adminCall(
  url: string,
  token: string,
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(new URL(path, url), {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    redirect: "error",
    signal: AbortSignal.timeout(CALL_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    throw new Error(
      `no answer from ${new URL(url).origin} (${error instanceof Error ? error.name : "unknown"}): is the relay running, and is MILLRACE_URL right?`,
    );
  });
  if (response.status === 404) return null;
  const answer = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
  if (!response.ok) throw new Error(answer?.error?.message ?? `the relay answered ${response.status}`);
  return answer;
}
