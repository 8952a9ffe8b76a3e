import type { Socket } from "node:net";

import type { Outlet } from "./outlet.ts";

/** One accepted connection and the answers that are going out on it. */
export interface Connection {
  readonly id: number;
  readonly socket: Socket;
  readonly outlets: Set<Outlet>;
  /** The next request on it is answered by closing. */
  closesOnReuse: boolean;
}

/**
 * Watches a connection: when the client ends or resets it, every answer under way learns so at once. A client
 * that only half-closes counts as gone too, as real servers treat it.
 */
export function watchConnection(id: number, socket: Socket, whenClosed: () => void): Connection {
  const connection: Connection = { id, socket, outlets: new Set(), closesOnReuse: false };
  const leave = (): void => {
    for (const outlet of connection.outlets) outlet.leave(true);
  };
  socket.once("end", () => {
    const isWaitedFor = connection.outlets.size > 0;
    leave();
    if (isWaitedFor) socket.destroy();
  });
  socket.once("close", () => {
    leave();
    whenClosed();
  });
  // A reset by the client is an error event here; `close` follows and tells all that matters.
  socket.on("error", () => undefined);
  return connection;
}
