/** A wire to PostgreSQL that breaks at the worst moment: the server has the statement, the relay gets no answer. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export interface CuttingProxy {
  readonly port: number;
  /** Breaks the connection that next sends this text, once the server has answered it. */
  cutAfter(text: string): void;
  /** The connection that next sends this text gets no answer any more: the server has done what it was told. */
  muteAfter(text: string): void;
  /** From now on connections are refused, or taken again. */
  isDown: boolean;
  /** How often it was cut. */
  readonly cuts: number;
  close(): Promise<void>;
}

export async function openCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  let trigger: string | null = null;
  let muting: string | null = null;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (proxy.isDown) return void client.destroy();
    const upstream = connect(targetPort, "127.0.0.1");
    let isCut = false;
    let isMute = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        client.destroy();
        upstream.destroy();
        sockets.delete(socket);
      });
    }
    client.on("data", (bytes) => {
      if (trigger !== null && bytes.includes(trigger)) {
        trigger = null;
        isCut = true;
      }
      if (muting !== null && bytes.includes(muting)) {
        muting = null;
        isMute = true;
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (isMute) return;
      if (!isCut) return void client.write(bytes);
      cuts++;
      client.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = {
    port: (server.address() as AddressInfo).port,
    isDown: false,
    get cuts() {
      return cuts;
    },
    cutAfter: (text: string) => {
      trigger = text;
    },
    muteAfter: (text: string) => {
      muting = text;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}
