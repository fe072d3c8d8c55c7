import { EventEmitter, once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, test } from '@jest/globals'
import type { RequestHandler } from 'express'
import type { AatEvent } from '../../lib/index.ts'
import { requestText, sendRaw } from '../support/wire.ts'
import { basic, CONFIDENTIAL, startWorld } from '../support/world.ts'

const as = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const rest = 'grant_type=client_credentials'

/** A token request of which the app's `middleware` sees the first part before the client sends the rest. */
async function ask(middleware: RequestHandler) {
  let goOn: (() => void) | undefined
  const isSeen = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const world = await startWorld({
    before: (app) =>
      app.use((req, res, next) => {
        goOn?.()
        middleware(req, res, next)
      }),
  })
  const request = requestText(world.base, '/oauth/token', { ...form, ...as }, `scope=b&${rest}`)
  const write = async (socket: Socket) => {
    socket.write(request.slice(0, -rest.length))
    await isSeen
    socket.write(rest)
  }
  const { statuses } = await sendRaw(
    world.base,
    (socket) => void write(socket),
    (answer) => answer.closed || answer.statuses.length > 0,
  )
  const faults = world.eventsNamed('fault').map((event) => String((event as AatEvent<'fault'>).error))
  const issued = world.eventsNamed('token.issued').length
  await world.close()
  return { statuses, faults, issued }
}

describe('a body of which something in the app read a part', () => {
  const refused = {
    statuses: [500],
    faults: ['Error: the body was read before, but is not in req.body'],
    issued: 0,
  }

  test('the rest never passes for the whole', async () => {
    expect(await ask((req, _res, next) => void once(req, 'data').then(() => next()))).toEqual(refused)
  })

  test('one that was decoded, not strictly, is not taken, and no end of the process', async () => {
    expect(await ask((req, _res, next) => next(void req.setEncoding('utf8')))).toEqual(refused)
  })

  test('one that something looks at as well is read as ever', async () => {
    const seen: Buffer[] = []
    const look: RequestHandler = (req, _res, next) => next(void req.on('data', (chunk) => seen.push(chunk)))
    expect(await ask(look)).toEqual({ statuses: [200], faults: [], issued: 1 })
    expect(String(Buffer.concat(seen))).toBe(`scope=b&${rest}`)
  })
})

describe('a client that left before anybody asked for its body', () => {
  const json = { 'Content-Type': 'application/json' }
  const metadata = JSON.stringify({ redirect_uris: ['https://a.example/cb'] })

  /** Sends a part of a registration, which waits in the app until the client has gone. */
  async function leave(sent: number): Promise<string> {
    const world = await startWorld({
      before: (app) =>
        app.use((req, _res, next) => {
          req.socket.once('close', () => setImmediate(next))
          leaving.emit('arrived')
        }),
    })
    const leaving = new EventEmitter()
    const arrived = once(leaving, 'arrived')
    const refused = new Promise<string>((resolve) =>
      world.aat.on('registration.refused', ({ reason }) => resolve(reason)),
    )
    const request = requestText(world.base, '/oauth/register', json, metadata)
    const socket = connect(Number(new URL(world.base).port), '127.0.0.1')
    socket.write(request.slice(0, request.length - metadata.length + sent))
    await arrived
    socket.destroy()
    const reason = await refused
    await world.close()
    return reason
  }

  test('is not waited for, and what is told of it is true', async () => {
    expect(await leave(10)).toBe('the body was cut short')
    expect(await leave(metadata.length)).toBe('the client has left')
  })
})
