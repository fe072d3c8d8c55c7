import { Resolver } from 'node:dns/promises'
import type { Duplex } from 'node:stream'
import { connect } from 'node:tls'

/** Where a connection goes: to just this address, and to nobody but the holder of this name. */
export interface ConnectionTarget {
  readonly address: string
  readonly port: number
  /** Against which the certificate is verified. */
  readonly name: string
}

/** The network, as documents of strangers are fetched over it. What may be connected to is judged before. */
export interface Network {
  /** All addresses of a name, of both families, in the order in which they are to be tried. */
  resolve(name: string, signal: AbortSignal): Promise<readonly string[]>
  /** A TLS connection, ready to be written to; the certificate is verified. It is never another address than the given one. */
  connect(target: ConnectionTarget, signal: AbortSignal): Promise<Duplex>
  /** A signal that aborts when so many seconds are over. */
  after(seconds: number): AbortSignal
}

/** DNS failures that say that there is nothing of this kind, and not that nobody answered. */
const absent = new Set(['ENODATA', 'ENOTFOUND'])

/**
 * The machine's network. Names are asked of the DNS itself: the hosts file and the search list of a machine are about its own
 * network, and `dns.lookup` would let a slow name server of a stranger's hold up the four threads that everybody shares.
 */
export const systemNetwork: Network = {
  resolve: (name, signal) => resolveName(name, signal),
  connect: (target, signal) => connectTls(target, signal),
  after: (seconds) => AbortSignal.timeout(seconds * 1000),
}

/** @param servers in place of the machine's own, with port */
export async function resolveName(name: string, signal: AbortSignal, servers?: string[]): Promise<string[]> {
  const resolver = new Resolver({ timeout: 1500, tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
  const cancel = () => resolver.cancel()
  signal.addEventListener('abort', cancel)
  try {
    const families = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const addresses = families.flatMap((family) => (family.status === 'fulfilled' ? family.value : []))
    const failure = families.find(
      (family) =>
        family.status === 'rejected' && !absent.has((family.reason as { code?: string }).code ?? ''),
    )
    if (addresses.length === 0 && failure?.status === 'rejected') throw failure.reason
    return addresses
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** @param ca in place of the well-known authorities, PEM */
export function connectTls(
  { address, port, name }: ConnectionTarget,
  signal: AbortSignal,
  ca?: string,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port,
      servername: name,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      // By name, whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: true,
      ...(ca !== undefined && { ca }),
    })
    const giveUp = () => socket.destroy(new Error('it took too long'))
    signal.addEventListener('abort', giveUp)
    socket.once('close', () => signal.removeEventListener('abort', giveUp))
    // Stays: a connection may break at any moment, also when nobody looks any more.
    socket.on('error', reject)
    socket.once('secureConnect', () => resolve(socket))
  })
}
