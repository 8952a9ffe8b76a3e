#!/usr/bin/env node
// Plain JavaScript, so that a Node too old for the program can still say what to do.
import { existsSync } from "node:fs";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [major, minor] = process.versions.node.split(".").map(Number);
const isNewEnough = major > 22 || (major === 22 && minor >= 19);
const here = dirname(fileURLToPath(import.meta.url));

if (isNewEnough) {
  const source = join(here, "../src/cli/program.ts");
  if (existsSync(source)) await import("./runtime.js");
  await import(existsSync(source) ? source : join(here, "../dist/cli/program.js"));
} else {
  const bundled = bundledNode();
  if (bundled === null) {
    process.stderr.write(
      `millrace: this is Node ${process.versions.node}; Node 22.19 or newer is needed (24 is best): install it, or run millrace through npm in a checkout\n`,
    );
    process.exit(1);
  }
  // In a process group of its own, else the terminal's Ctrl-C would reach it twice.
  const child = spawn(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit", detached: true });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code) => process.exit(code ?? 1));
}

/** The Node that came with the installation as an optional package, or null. */
function bundledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
    const path = join(dirname(manifest), "bin/node");
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}
