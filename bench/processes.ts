/** What the kernel's books say of processes: CPU time used, memory, how busy the machine is. */
import { setTimeout as sleep } from "node:timers/promises";
import { readdirSync, readFileSync } from "node:fs";

/** Jiffies a second; 100 on every Linux that Node runs on. */
const TICKS = 100;

/** CPU microseconds used by a process and its children so far. */
export function cpuMicros(pid: number): number {
  return familyOf(pid).reduce((sum, each) => sum + ownCpuMicros(each), 0);
}

function ownCpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
}

/** Resident bytes of a process and its children. */
export function rssBytes(pid: number): number {
  return familyOf(pid).reduce(
    (sum, each) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/status`, "utf8"))?.[1] ?? 0) * 1024,
    0,
  );
}

function familyOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const children = tasks.flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(familyOf)];
}

/** Share of all cores that was busy during `ms`, from 0 to 1. */
export async function busyShare(ms: number): Promise<number> {
  const before = readCpu();
  await sleep(ms);
  const after = readCpu();
  return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all);
}

function readCpu(): { idle: number; all: number } {
  const line = readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "";
  const fields = line.trim().split(/\s+/).slice(1).map(Number);
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), all: fields.slice(0, 8).reduce((sum, value) => sum + value, 0) };
}
