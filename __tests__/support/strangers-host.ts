import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import { type ConnectionTarget, connectTls, type Network } from '../../lib/clients/network.ts'

/** What the host's names end with; its certificate is for these. */
export const HOST = 'app.client-host.com'
/** An address of the public Internet that stands for the host. */
export const ADDRESS = '93.184.215.14'

let certificate: ReturnType<typeof makeCertificate> | undefined

/**
 * A host of strangers: a real TLS server on the loopback interface, and a network on which its names have public addresses.
 * Every connection is written down by the address that it would have gone to.
 */
export async function startStrangersHost() {
  certificate ??= makeCertificate('*.client-host.com')
  const { privateKey: key, certificate: cert } = certificate
  let answer: (req: IncomingMessage, res: ServerResponse) => void = (_req, res) => {
    res.statusCode = 404
    res.end()
  }
  const server = createServer({ key, cert }, (req, res) => {
    requests.push(`${req.headers.host}${req.url}`)
    answer(req, res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  const requests: string[] = []
  const lookups: string[] = []
  const connections: ConnectionTarget[] = []
  const deadlines: { seconds: number; controller: AbortController }[] = []
  let resolve = async (_name: string): Promise<readonly string[]> => [ADDRESS]
  let connect: Network['connect'] = (target, signal) =>
    connectTls({ ...target, address: '127.0.0.1', port }, signal, cert)

  const network: Network = {
    resolve(name) {
      lookups.push(name)
      return resolve(name)
    },
    connect(target, signal) {
      connections.push(target)
      return connect(target, signal)
    },
    after(seconds) {
      const controller = new AbortController()
      deadlines.push({ seconds, controller })
      return controller.signal
    },
  }

  const host = {
    network,
    requests,
    lookups,
    connections,
    server,
    certificate: cert,
    /** What the server answers from now on. */
    answer(handler: typeof answer) {
      answer = handler
    },
    /** JSON from now on, with further headers. */
    answerJson(body: unknown, headers: Record<string, string> = {}) {
      host.answer((_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json', ...headers })
        res.end(typeof body === 'string' ? body : JSON.stringify(body))
      })
    },
    resolveTo(resolver: (name: string) => readonly string[] | Promise<readonly string[]>) {
      resolve = async (name) => resolver(name)
    },
    connectBy(connector: Network['connect']) {
      connect = connector
    },
    /** That time is over which was set for this many seconds. */
    pass(seconds: number) {
      for (const deadline of deadlines.splice(0))
        if (deadline.seconds <= seconds) deadline.controller.abort()
        else deadlines.push(deadline)
    },
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
  return host
}

export type StrangersHost = Awaited<ReturnType<typeof startStrangersHost>>
