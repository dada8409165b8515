// Makes what the test host boots from, once: Debian's cloud kernel, an initramfs with its modules and a busybox, and
// a sparse scratch disk. The root file system is the outer machine's own, shared read-only.
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { downloadPackages } from "./packages.mjs";

const scratchGiB = 24;
/** Loaded in this order, with what modules.dep says they need. */
const modules = [
  ...["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "virtiofs", "overlay"],
  ...["kvm_amd", "vhost_vsock", "vsock_loopback", "tun", "loop", "erofs"],
];

/** Returns the paths of emulator, kernel, initrd and scratch disk below `folder`. */
export function prepareHost(folder, report) {
  const emulator = join(folder, "emulator");
  if (!existsSync(emulator)) {
    report("fetching QEMU");
    unpack(emulator, ["qemu-system-x86", "qemu-system-data"]);
  }
  const kernelFolder = join(folder, "kernel");
  if (!existsSync(kernelFolder)) {
    report("fetching a kernel");
    unpack(kernelFolder, ["linux-image-cloud-amd64"]);
  }
  const kernel = join(
    kernelFolder,
    "boot",
    readdirSync(join(kernelFolder, "boot")).find((name) => name.startsWith("vmlinuz-")),
  );
  const release = basename(kernel).slice("vmlinuz-".length);
  const initrd = join(folder, "initrd");
  const sources = [join(import.meta.dirname, "init"), import.meta.filename, kernel];
  if (!sources.every((source) => isNewer(initrd, source)))
    makeInitrd({ folder, kernelFolder, release, initrd });
  const scratch = join(folder, "scratch.img");
  rmSync(scratch, { force: true });
  writeFileSync(scratch, "");
  truncateSync(scratch, scratchGiB * 2 ** 30);
  run("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", scratch]);
  return { emulator, kernel, initrd, scratch };
}

/** What these packages hold, without installing them: this machine keeps its own. */
function unpack(target, names) {
  const work = mkdtempSync(`${target}-`);
  try {
    for (const file of downloadPackages(names, work)) run("dpkg-deb", ["-x", file, join(work, "tree")]);
    renameSync(join(work, "tree"), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function makeInitrd({ folder, kernelFolder, release, initrd }) {
  const tree = mkdtempSync(join(folder, "initrd-"));
  try {
    for (const name of ["bin", "dev", "proc", "sys", "modules", "lower", "scratch", "root"])
      mkdirSync(join(tree, name));
    cpSync("/bin/busybox", join(tree, "bin", "busybox"));
    for (const applet of run("/bin/busybox", ["--list"]).trim().split("\n"))
      if (applet !== "busybox") symlinkSync("busybox", join(tree, "bin", applet));
    cpSync(join(import.meta.dirname, "init"), join(tree, "init"));
    const folderOfModules = join(kernelFolder, "lib", "modules", release);
    const files = moduleFiles(folderOfModules);
    for (const file of files) cpSync(join(folderOfModules, file), join(tree, "modules", basename(file)));
    const compressed = files.filter((file) => file.endsWith(".xz")).map((file) => basename(file));
    if (compressed.length > 0) run("xz", ["-d", ...compressed], join(tree, "modules"));
    writeFileSync(join(tree, "modules", "order"), files.map((file) => `${basename(file, ".xz")}\n`).join(""));
    run("/bin/sh", [
      "-c",
      'cd "$1" && find . | busybox cpio -o -H newc >"$2.new" 2>/dev/null',
      "sh",
      tree,
      initrd,
    ]);
    renameSync(`${initrd}.new`, initrd);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** The wanted modules and what they depend on, dependencies first. An unpacked package has no modules.dep yet. */
function moduleFiles(folder) {
  run("busybox", ["depmod", "-b", join(folder, "..", "..", ".."), basename(folder)]);
  const builtIn = readFileSync(join(folder, "modules.builtin"), "utf8").split("\n").map(moduleName);
  const dependencies = new Map();
  for (const line of readFileSync(join(folder, "modules.dep"), "utf8").split("\n")) {
    const [file, needs] = line.split(":");
    if (needs !== undefined)
      dependencies.set(moduleName(file), { file, needs: needs.trim().split(/\s+/).filter(Boolean) });
  }
  const order = [];
  const visit = (name) => {
    if (builtIn.includes(name)) return;
    const entry = dependencies.get(name);
    if (entry === undefined) throw new Error(`The kernel package has no module ${name}`);
    if (order.includes(entry.file)) return;
    for (const need of entry.needs) visit(moduleName(need));
    order.push(entry.file);
  };
  for (const name of modules) visit(name);
  return order;
}

/** Underscores and hyphens mean the same in a module's name; a file has either. */
function moduleName(file) {
  return basename(file)
    .replace(/\.ko(\.xz)?$/, "")
    .replaceAll("-", "_");
}

function isNewer(file, source) {
  return existsSync(file) && statSync(file).mtimeMs >= statSync(source).mtimeMs;
}

function run(command, args, cwd = "/") {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
