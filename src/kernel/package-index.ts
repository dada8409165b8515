/** A kernel package as the package lists describe it. */
export interface KernelPackage {
  /** "linux-image-6.1.0-56-cloud-amd64" */
  readonly name: string;
  /** "6.1.192-2" */
  readonly version: string;
  /** As `uname -r` prints it: "6.1.0-56-cloud-amd64". */
  readonly release: string;
}

/**
 * Finds the versioned package behind a metapackage in the output of `apt-cache show`: the first `Depends:` line that
 * names one exact `linux-image` version.
 */
export function parseKernelPackage(stanzas: string): KernelPackage | undefined {
  const depends = /^Depends:(.*)$/m.exec(stanzas)?.[1] ?? "";
  const found = /\blinux-image-([0-9][A-Za-z0-9.+~-]{0,100}) \(= ([A-Za-z0-9.+:~-]{1,100})\)/.exec(depends);
  const [, release, version] = found ?? [];
  if (release === undefined || version === undefined) return undefined;
  return { name: `linux-image-${release}`, version, release };
}
