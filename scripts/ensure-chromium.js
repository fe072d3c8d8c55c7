import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const DEBIAN_CHROMIUM = '/usr/bin/chromium'

/**
 * Finds chromium for the browser tests: $CHROMIUM, else Debian's package, which is installed when
 * this process is allowed to. Jest's global setup; the tests read the path from $CHROMIUM.
 */
export default function ensureChromium() {
  const chosen = process.env.CHROMIUM
  if (chosen) {
    if (!existsSync(chosen)) throw oneLine(`CHROMIUM=${chosen} does not exist`)
    return
  }
  if (!existsSync(DEBIAN_CHROMIUM)) install()
  if (!existsSync(DEBIAN_CHROMIUM)) {
    throw oneLine(
      'The browser tests need chromium: run `apt-get install chromium`, or set CHROMIUM to its executable.',
    )
  }
  process.env.CHROMIUM = DEBIAN_CHROMIUM
}

function install() {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' })
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
      env,
      stdio: 'ignore',
    })
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
