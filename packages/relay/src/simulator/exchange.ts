import type { IncomingMessage, ServerResponse } from "node:http";

import type { Connection } from "./connection.ts";
import type { Fault } from "./fault.ts";
import type { Outlet } from "./outlet.ts";
import type { Scenario } from "./scenario.ts";

/** One request and all that its answer depends on. */
export interface SimulatedExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  readonly outlet: Outlet;
  readonly body: Uint8Array;
  readonly scenario: Scenario;
  readonly fault: Fault | null;
  readonly seed: number;
}
