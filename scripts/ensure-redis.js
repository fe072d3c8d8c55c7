import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NAMES = ['redis-server', 'valkey-server']
const USUAL_FOLDERS = ['/usr/bin', '/opt/homebrew/bin', '/usr/local/bin']
/** The first Redis with everything that the library and its tests use. */
const OLDEST = { major: 6, minor: 2 }

/**
 * Debian's package starts a service when it is installed; a policy of 101 forbids that. An existing
 * policy is somebody's decision and stays.
 */
const INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends redis-tools redis-server
`

/**
 * Finds a Redis server for the tests: $REDIS_SERVER, else redis-server or valkey-server of this
 * machine, else Debian's package, which is installed when this process is allowed to. Jest's global
 * setup; the tests read the path from $REDIS_SERVER.
 *
 * @returns {string} the path of the executable
 */
export default function ensureRedis() {
  let path = findRedis()
  if (path === undefined) {
    install()
    path = findRedis()
  }
  if (path === undefined) {
    throw oneLine(
      'These tests need redis-server 6.2 or newer: run `apt-get install redis-server`, or set REDIS_SERVER to its executable.',
    )
  }
  const [major = 0, minor = 0] = versionOf(path)
  if (major < OLDEST.major || (major === OLDEST.major && minor < OLDEST.minor)) {
    throw oneLine(
      `${path} is version ${major}.${minor}: install redis-server 6.2 or newer, or set REDIS_SERVER to one.`,
    )
  }
  process.env.REDIS_SERVER = path
  return path
}

/**
 * The executable that $REDIS_SERVER names, or the first one on $PATH and in the usual folders.
 * Installs nothing.
 *
 * @returns {string | undefined}
 */
export function findRedis() {
  const chosen = process.env.REDIS_SERVER
  if (chosen) {
    if (!isExecutable(chosen)) throw oneLine(`REDIS_SERVER=${chosen} is not an executable file`)
    return chosen
  }
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...USUAL_FOLDERS]
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable)
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @param {string} path */
function versionOf(path) {
  let text
  try {
    text = execFileSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
  } catch {
    throw oneLine(
      `${path} --version does not run: install redis-server, or set REDIS_SERVER to one that runs.`,
    )
  }
  return /\bv=(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? []
}

function install() {
  if (!existsSync('/usr/bin/apt-get')) return
  const isRoot = process.getuid?.() === 0
  const command = isRoot ? ['sh', '-ec', INSTALL] : ['sudo', '-n', 'sh', '-ec', INSTALL]
  try {
    execFileSync(command[0] ?? '', command.slice(1), { stdio: 'ignore' })
  } catch {
    // The caller looks for the executable and says what to do.
  }
}

/** @param {string} message */
function oneLine(message) {
  const error = new Error(message)
  error.stack = message
  return error
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(ensureRedis())
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
