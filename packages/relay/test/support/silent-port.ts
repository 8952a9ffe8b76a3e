/** A port whose connections are never accepted: a listener that sleeps, with its queue full. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { freePort } from "./free-port.ts";

export interface SilentPort {
  readonly port: number;
  /** Connections of ours that wait to be accepted. */
  readonly waiting: number;
  close(): void;
}

const SLEEPER = `require("node:net").createServer().listen(+process.argv[1], "127.0.0.1", 1, () => {
  require("node:fs").writeSync(1, "listening");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
});`;

export async function startSilentPort(given?: number): Promise<SilentPort> {
  const port = given ?? (await freePort());
  const child = spawn(process.execPath, ["-e", SLEEPER, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const sockets: Socket[] = [];
  for (let i = 0; i < 6; i++) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    sockets.push(socket);
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  return {
    port,
    waiting: connectingTo(port),
    close: () => {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGKILL");
    },
  };
}

/** Sockets of this machine that have sent a SYN to the port and got no answer (state 02 in the kernel's table). */
export function connectingTo(port: number): number {
  const target = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .filter((line) => line.trim().split(/\s+/)[2] === target && line.trim().split(/\s+/)[3] === "02").length;
}
