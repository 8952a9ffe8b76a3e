/** A PostgreSQL server of one's own, from the system's binaries, in a temporary directory. */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { BIGINT_TYPES } from "../../src/store/postgres/session.ts";
import { freePort } from "./free-port.ts";

export interface TestPostgres {
  readonly connection: pg.ClientConfig;
  /** Ends the server at once, as a crash would, and starts it again on the same data. */
  crash(): Promise<void>;
  /**
   * Ends the server as a crash would; what it returns starts it again. SIGQUIT makes all its processes leave at once without a
   * checkpoint; SIGKILL ends the first one alone, and the others leave when they notice.
   */
  kill(signal?: "SIGQUIT" | "SIGKILL"): Promise<() => Promise<void>>;
  /** Stops all its processes where they are, as a machine that hangs; what it returns lets them go on. */
  freeze(): () => void;
  stop(): Promise<void>;
}

/** The newest server that is installed, or null. */
export function postgresBinaries(): string | null {
  const packaged = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql").toSorted((a, b) => Number(b) - Number(a)) : [];
  const places = [...packaged.map((version) => `/usr/lib/postgresql/${version}/bin`), "/usr/local/bin", "/usr/bin"];
  return places.find((place) => existsSync(join(place, "initdb")) && existsSync(join(place, "postgres"))) ?? null;
}

/** Where PostgreSQL must be tested it must be installed; elsewhere its absence is said aloud. */
export function postgresIsDue(): boolean {
  if (postgresBinaries() !== null) return true;
  if (process.env["CI"] === "true") return true;
  console.warn("NOT RUN: the PostgreSQL half of these tests needs initdb and postgres (Debian: apt-get install postgresql)");
  return false;
}

/**
 * Starts a server. `isDurable: false` leaves out syncing to the disk, which a killed process survives all the same.
 * @throws when there is no server to start.
 */
export async function startPostgres({ isDurable = false }: { readonly isDurable?: boolean } = {}): Promise<TestPostgres> {
  const binaries = postgresBinaries();
  if (binaries === null) throw new Error("PostgreSQL is not installed: initdb and postgres were not found");
  const user = unprivileged();
  const directory = mkdtempSync(join(tmpdir(), "millrace-postgres-"));
  if (user !== null) chownSync(directory, user.uid, user.gid);
  const data = join(directory, "data");
  // The lines go nowhere: initdb speaks of trust authentication, which is meant here.
  execFileSync(join(binaries, "initdb"), ["-D", data, "-U", "millrace", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"], {
    cwd: directory,
    stdio: ["ignore", "ignore", "pipe"],
    ...user,
  });
  const port = await freePort();
  const connection = { host: "127.0.0.1", port, user: "millrace", database: "postgres" };
  let server: ChildProcess;
  const start = async (): Promise<void> => {
    const settings = ["max_connections=50", "shared_buffers=64MB", ...(isDurable ? [] : ["fsync=off", "full_page_writes=off"])];
    server = spawn(
      join(binaries, "postgres"),
      ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", directory, ...settings.flatMap((setting) => ["-c", setting])],
      { cwd: directory, stdio: "ignore", ...user },
    );
    await untilItAnswers(connection, server);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = new Promise((resolve) => server.once("exit", resolve));
    if (server.exitCode === null && server.signalCode === null && server.kill(signal)) await ended;
  };
  const kill: TestPostgres["kill"] = async (signal = "SIGQUIT") => {
    await end(signal);
    return async () => await startAfterKill(start);
  };
  // The runner may end without asking: a server must not outlive it.
  const onExit = (): void => void server.kill("SIGQUIT");
  process.once("exit", onExit);
  await start();
  return {
    connection,
    crash: async () => {
      const again = await kill();
      await again();
    },
    kill,
    freeze: () => {
      const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(server.pid)], { encoding: "utf8" });
      const all = [Number(server.pid), ...children.trim().split(/\s+/).map(Number)];
      for (const pid of all) process.kill(pid, "SIGSTOP");
      return () => {
        for (const pid of all) process.kill(pid, "SIGCONT");
      };
    },
    stop: async () => {
      process.off("exit", onExit);
      await end("SIGINT");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The rows of one query, on a connection of its own. */
export async function queryPostgres(connection: pg.ClientConfig, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...connection, types: BIGINT_TYPES });
  // A server that dies is told by the query, which fails; without a listener the process would end.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The server refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ["postgres", "nobody"]) {
    try {
      const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "ignore"] })));
      if (uid !== undefined && gid !== undefined) return { uid, gid };
    } catch {
      continue;
    }
  }
  throw new Error("PostgreSQL does not run as root, and there is no user postgres or nobody");
}

/** While a child of the killed server has not left yet, a new one refuses to touch the data. */
async function startAfterKill(start: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function untilItAnswers(connection: pg.ClientConfig, server: ChildProcess): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const client = new pg.Client(connection);
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (server.exitCode !== null || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
