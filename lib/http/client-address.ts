import { isIP } from 'node:net'
import type { Request } from 'express'
import { ipKeyGenerator } from 'express-rate-limit'

/**
 * Whom to count a request for: the address as Express is configured to see it (`trust proxy`), IPv6 by its /56 network, and
 * an IPv4 address the same in each of its spellings. With `trust proxy` set to true anybody can claim any address, and some
 * texts are no address at all: then it is the address of the connection, which nobody can choose.
 */
export function clientAddress(req: Request): string {
  const trusted: unknown = req.app.get('trust proxy')
  // Where nobody or everybody is trusted nothing that a request says is looked at: `req.ip` would come to the same by a long way.
  const claimed = trusted && trusted !== true ? req.ip : undefined
  const address = claimed !== undefined && isIP(claimed) !== 0 ? claimed : (req.socket.remoteAddress ?? '')
  if (isIP(address) === 4) return address
  return ipKeyGenerator(withoutMapping(address.split('%')[0] ?? ''), 56)
}

export function trustsEverybody(req: Request): boolean {
  return req.app.get('trust proxy') === true
}

/** `::ffff:1.2.3.4` and `::ffff:102:304` are the IPv4 address 1.2.3.4 (RFC 4291 §2.5.5.2). */
function withoutMapping(address: string): string {
  if (isIP(address) !== 6) return address
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical)
  if (mapped === null) return canonical
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
