import { SupermachineError } from "../../../errors/supermachine-error.ts";

/** Which hosts may be spoken to without TLS: this machine itself, and those the user has listed. */
export class PlainHttpPolicy {
  readonly #listed: ReadonlySet<string>;

  constructor(insecure: readonly string[]) {
    for (const host of insecure)
      if (!URL.canParse(`http://${host}`) || new URL(`http://${host}`).pathname !== "/" || host.includes("/"))
        throw new SupermachineError("INVALID_ARGUMENT", `'${host}' is not a registry host`, {
          hint: "List registries as 'host' or 'host:port'",
        });
    this.#listed = new Set(insecure.map((host) => host.toLowerCase()));
  }

  allows(host: string): boolean {
    return this.isListed(host) || isLoopback(new URL(`http://${host}`).hostname);
  }

  /** The user has said so: certificates are not checked either, then. */
  isListed(host: string): boolean {
    return this.#listed.has(host.toLowerCase());
  }
}

/** Whether a URL's host name means this machine. Other names could, too, but only these always do. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
