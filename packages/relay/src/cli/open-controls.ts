/** Opens the control API for a command: of a running relay when `MILLRACE_URL` is set, else of a data directory. */
import { adminCall } from "./admin-call.ts";
import type { Controls, Shown, Where } from "./controls.ts";
import { openLocal } from "./local-controls.ts";

/** Runs `act` on the relay, or on a data directory that no relay uses. */
export async function withControls(given: Where, act: (controls: Controls) => Promise<void>): Promise<void> {
  const url = process.env["MILLRACE_URL"];
  if (url === undefined || url === "") return openLocal(given, act);
  const token = process.env["MILLRACE_ADMIN_TOKEN"] ?? "";
  return act({
    call: (method, target, body) => adminCall(url, token, method, `/admin/api/${target}`, body) as Promise<Shown>,
  });
}
