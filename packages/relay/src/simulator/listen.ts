import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";

/**
 * Ports are drawn from this range because the system picks the ports of outgoing connections from 32768 up:
 * a server on such a port collides with pooled client sockets.
 */
const PORT_MIN = 20_000;
const PORT_MAX = 31_999;
const TRIES_MAX = 60;

/** Listens on `port`, or on a random free port from 20000 to 31999 when it is 0 or absent; tells the port. */
export async function listen(server: Server, host: string, port = 0): Promise<number> {
  if (port !== 0) {
    await listenOnce(server, host, port);
    return port;
  }
  for (let tries = 1; ; tries += 1) {
    try {
      await listenOnce(server, host, randomInt(PORT_MIN, PORT_MAX + 1));
      return (server.address() as AddressInfo).port;
    } catch (error) {
      if (!isTaken(error) || tries === TRIES_MAX) throw error;
    }
  }
}

/** A port from 20000 to 31999 that nobody listened on a moment ago. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  const port = await listen(server, host);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

function listenOnce(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      server.off("error", settle);
      server.off("listening", settle);
      if (error === undefined) resolve();
      else reject(error);
    };
    server.once("error", settle);
    server.once("listening", settle);
    server.listen({ host, port, backlog: 4096 });
  });
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EADDRINUSE" || error.code === "EACCES");
}
