import { SupermachineError } from "../errors/supermachine-error.ts";
import type { PublishedPort } from "./types.ts";

const loopback = "127.0.0.1";

/**
 * Reads "[IP:]HOST:GUEST[/tcp]", "GUEST" (any free host port), or an object. An IPv6 address stands in brackets.
 *
 * @throws SupermachineError `INVALID_ARGUMENT`.
 */
export function parsePort(port: string | Partial<PublishedPort>): PublishedPort {
  if (typeof port !== "string") return fromParts(port, JSON.stringify(port));
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):)?(?:([0-9]*):)?([0-9]+)(?:\/(\w+))?$/.exec(port);
  if (match === null) throw unreadable(port);
  const [, ipv6, first, middle, guest, protocol = "tcp"] = match;
  if (protocol !== "tcp")
    throw new SupermachineError("INVALID_ARGUMENT", `The published port '${port}' is not TCP`, {
      hint: "Only TCP ports can be published",
    });
  // With one colon only, what stands before it is the host port, not an address.
  const [address, host] =
    middle === undefined && ipv6 === undefined ? [undefined, first] : [ipv6 ?? first, middle];
  if (host !== undefined && !/^[0-9]*$/.test(host)) throw unreadable(port);
  return fromParts({ host: address || loopback, port: Number(host || 0), guestPort: Number(guest) }, port);
}

function fromParts(
  { host = loopback, port = 0, guestPort }: Partial<PublishedPort>,
  text: string,
): PublishedPort {
  const inRange = (value: unknown, least: number): value is number =>
    typeof value === "number" && Number.isInteger(value) && value >= least && value <= 65_535;
  if (typeof host !== "string" || !inRange(port, 0) || !inRange(guestPort, 1)) throw unreadable(text);
  return { host, port, guestPort };
}

function unreadable(text: string): SupermachineError {
  return new SupermachineError("INVALID_ARGUMENT", `The published port '${text}' cannot be read`, {
    hint: 'Write "HOST:GUEST" or "IP:HOST:GUEST", such as "8080:80"',
  });
}
