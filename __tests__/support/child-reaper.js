import { spawn } from 'node:child_process'

/**
 * Reads "add PID FOLDER" and "gone PID" from its standard input. When that ends, because this process
 * ended in whatever way (a SIGKILL included, where no exit handler runs), what was added and is not
 * gone is killed, and its folder removed.
 */
const SCRIPT = `
left=' '
while read -r verb pid folder; do
  case $verb in
    add) left="$left$pid:$folder " ;;
    gone)
      rest=' '
      for entry in $left; do
        case $entry in "$pid":*) ;; *) rest="$rest$entry " ;; esac
      done
      left=$rest ;;
  esac
done
for entry in $left; do kill -9 "\${entry%%:*}" 2>/dev/null; done
for entry in $left; do rm -rf "\${entry#*:}"; done
`

/** @type {import('node:child_process').ChildProcess | undefined} */
let reaper
const pids = new Set()

/**
 * From now on this child process does not outlive this process, however that one ends.
 *
 * @param {number} pid
 * @param {string} folder removed with it; without spaces
 */
export function reapAtExit(pid, folder) {
  if (reaper === undefined) {
    // Detached: a Ctrl-C in the terminal must end the tests and not their reaper.
    reaper = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    reaper.unref()
    reaper.on('error', () => {})
    reaper.stdin?.on('error', () => {})
    // A pipe to a child is a socket, and an open one would keep this process alive.
    const input = /** @type {import('node:net').Socket | null} */ (reaper.stdin)
    input?.unref()
  }
  pids.add(pid)
  reaper.stdin?.write(`add ${pid} ${folder}\n`)
}

/** @param {number} pid has ended, so that its number may belong to another process soon */
export function isGone(pid) {
  if (!pids.delete(pid)) return
  reaper?.stdin?.write(`gone ${pid}\n`)
  if (pids.size > 0) return
  reaper?.stdin?.end()
  reaper = undefined
}
