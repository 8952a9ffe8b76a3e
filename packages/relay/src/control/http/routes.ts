/** The table of the control plane, made from its parts in `routes/`. A route that is not in it does not exist. */
import * as z from "zod";
import { openApi } from "./openapi.ts";
import { API, route } from "./route.ts";
import type { ControlRoute } from "./route.ts";
import { ACCOUNTS } from "./routes/accounts.ts";
import { KEYS } from "./routes/keys.ts";
import { MEMBERS } from "./routes/members.ts";
import { MONEY } from "./routes/money.ts";
import { RECORDS } from "./routes/records.ts";
import { ALL } from "./routes/roles.ts";
import { SESSION } from "./routes/session.ts";
import { SETTINGS } from "./routes/settings.ts";

const TABLE: readonly ControlRoute[] = [...SESSION, ...ACCOUNTS, ...MONEY, ...KEYS, ...MEMBERS, ...RECORDS, ...SETTINGS];

/** The document is one of its own routes. */
const DOCUMENT: ControlRoute = route(ALL, {
  name: "showOpenApi",
  method: "GET",
  path: `${API}/openapi.json`,
  summary: "This document.",
  answer: z.record(z.string(), z.unknown()),
  act: () => openApi([...TABLE, DOCUMENT]),
});

export const ROUTES: readonly ControlRoute[] = [...TABLE, DOCUMENT];
