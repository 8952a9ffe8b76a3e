/** A line to a server that can be made slow: what is sent on it, either way, arrives whole and in order, but late. */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { freePort } from "../packages/relay/test/support/free-port.ts";

export interface SlowLine {
  readonly port: number;
  /** From now on each piece takes this long. @returns a function that makes the line quick again. */
  delay(ms: number): () => void;
  /** From now on nothing arrives. @returns a function that lets everything go on. */
  stall(): () => void;
  close(): Promise<void>;
}

/** Opens a line of one's own to a server on this machine. */
export async function openSlowLine(to: number): Promise<SlowLine> {
  let delayMs = 0;
  let gate = Promise.resolve();
  const sockets = new Set<Socket>();

  /** What was sent before one side left still arrives. */
  const carry = (from: Socket, until: Socket): void => {
    let last = Promise.resolve();
    const later = (act: () => void): void => {
      const at = performance.now() + delayMs;
      last = last
        .then(() => sleep(Math.max(0, at - performance.now())))
        .then(() => gate)
        .then(act);
    };
    from.on("data", (bytes) => later(() => until.destroyed || until.write(bytes)));
    from.on("close", () => later(() => until.destroySoon()));
    // What ends a connection is told by its closing.
    from.on("error", () => undefined);
    sockets.add(from);
    from.on("close", () => sockets.delete(from));
  };
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    carry(near, far);
    carry(far, near);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    void freePort().then((port) => server.listen(port, "127.0.0.1", resolve), reject);
  });
  return {
    port: (server.address() as AddressInfo).port,
    delay: (ms) => {
      delayMs = ms;
      return () => void (delayMs = 0);
    },
    stall: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
