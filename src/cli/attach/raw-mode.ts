import type { CliInput } from "../cli.ts";

/**
 * Hands every key to the command instead of the line discipline. Returns what puts the terminal back, which also
 * happens when the process ends in any other way that lets it run a last function.
 */
export function rawMode(stdin: CliInput): () => void {
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) return () => {};
  stdin.setRawMode(true);
  let raw = true;
  const restore = () => {
    if (!raw) return;
    raw = false;
    process.off("exit", restore);
    stdin.setRawMode?.(false);
  };
  process.on("exit", restore);
  return restore;
}
