// Fetches Debian packages without installing them and without touching the machine's own package lists.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Debian 12's own kernel cannot map a guest's pages in advance (that came with Linux 6.11), and its emulator is QEMU 7.2,
 * under which a host with guests of several processors has crashed several times. There, both come from its backports.
 */
const backportsOf = { bookworm: "bookworm-backports" };

/** Returns the paths of the package files of `names`, and of what a metapackage among them stands for, in `folder`. */
export function downloadPackages(names, folder) {
  const options = aptOptions(folder);
  const apt = (command, ...args) =>
    execFileSync(command, [...options, ...args], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  if (options.length > 0) apt("apt-get", "update", "-q");
  const files = [];
  for (const name of names) {
    const image = /Depends: (linux-image-\S+)/.exec(apt("apt-cache", "depends", name))?.[1];
    apt("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", image ?? name);
  }
  for (const file of readdirSync(folder)) if (file.endsWith(".deb")) files.push(join(folder, file));
  return files;
}

/** Lists of their own, for a suite that the machine does not use. */
function aptOptions(folder) {
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  const suite = backportsOf[codename];
  if (suite === undefined) return [];
  const sources = join(folder, "apt.list");
  const lists = join(folder, "lists");
  mkdirSync(join(lists, "partial"), { recursive: true });
  writeFileSync(sources, `deb ${mirror()} ${suite} main\n`);
  const settings = {
    "Dir::Etc::SourceList": sources,
    "Dir::Etc::SourceParts": "-",
    "Dir::State::Lists": lists,
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "APT::Sandbox::User": "root",
  };
  return Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
}

/** Where this machine gets its Debian packages. */
function mirror() {
  const lines = execFileSync(
    "apt-get",
    ["indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
    { encoding: "utf8" },
  );
  const own = lines.split("\n").find((line) => line.startsWith("Debian ") && !line.includes("security"));
  if (own === undefined) throw new Error("No Debian mirror in the package lists: run apt-get update");
  return own.slice("Debian ".length);
}
