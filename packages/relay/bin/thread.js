/** A thread of a relay that runs from source: prepared as the process is, then the file whose URL is its first argument. */
import "./runtime.js";

await import(process.argv[2]);
