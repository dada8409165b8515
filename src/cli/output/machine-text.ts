import { familiarName, parseReference } from "../../image/reference.ts";
import type { MachineInfo } from "../../machine/types.ts";
import { formatAge, inWords } from "./quantities.ts";

/** A machine's state in docker's words: `Up 2 minutes`, `Exited (0) About an hour ago`. */
export function machineStatus(info: MachineInfo, nowMs: number): string {
  const age = formatAge(nowMs - (info.finishedAt ?? info.createdAt));
  switch (info.state) {
    case "creating":
      return "Creating";
    case "running":
      return `Up ${inWords(Math.max(0, nowMs - (info.startedAt ?? info.createdAt)))}`;
    case "stopping":
      return "Stopping";
    case "crashed":
      return `Crashed ${age}`;
    case "stopped":
      return `${endOf(info)} ${age}`;
  }
}

/** An image's name as its user would write it. */
export function imageName(canonical: string): string {
  try {
    return familiarName(parseReference(canonical));
  } catch {
    // An archive without a name: what names it best is shown as it is.
    return canonical;
  }
}

/** As many digits of a snapshot's id as identify it among those of one host. */
export function shortSnapshotId(id: string): string {
  return id.slice(0, 12);
}

/** `127.0.0.1:8080->80`, several separated by commas. */
export function portsText(ports: MachineInfo["ports"]): string {
  return ports
    .map(({ host, port, guestPort }) => `${host.includes(":") ? `[${host}]` : host}:${port}->${guestPort}`)
    .join(", ");
}

function endOf(info: MachineInfo): string {
  const { exit } = info;
  const outcome = exit?.signal ?? exit?.exitCode;
  const details =
    outcome === undefined ? "" : ` (${outcome}${exit?.outOfMemory === true ? ", out of memory" : ""})`;
  switch (exit?.reason) {
    case "command":
      return `Exited${details}`;
    case "killed":
      return "Killed";
    case "powered-off":
      return "Powered off";
    case "panic":
      return "Panicked";
    case "failed":
      return "Failed";
    case "crashed":
      return "Crashed";
    default:
      return `Stopped${details}`;
  }
}
