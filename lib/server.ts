import http, { IncomingMessage, type RequestListener, ServerResponse } from 'node:http'
import https from 'node:https'
import { createsWith } from './http/message-shape.ts'

/** What is used of an Express application, 4 or 5. */
export interface ExpressApp extends RequestListener {
  /** The prototype that the app gives to each request. */
  readonly request: object
  /** The prototype that the app gives to each response. */
  readonly response: object
}

/** The options of `http.createServer`, without the classes of messages, which are the app's. */
export type ServerOptions = Omit<http.ServerOptions, 'IncomingMessage' | 'ServerResponse'>

/** The options of `https.createServer`, without the classes of messages, which are the app's. */
export type SecureServerOptions = Omit<https.ServerOptions, 'IncomingMessage' | 'ServerResponse'>

/**
 * `http.createServer(options, app)` for less CPU. Express changes the prototype of every request and response, upon which V8 (in
 * Node 20 and 22) gives up what it has learnt about these objects. Here they are created with the app's prototypes in the first place, so that
 * Express changes nothing.
 *
 * Needs nothing else of this package. Other events than `request` get Node's own objects, and so do all `request` listeners
 * while there are several.
 *
 * @param app an Express application, 4.21 or 5
 * @param options as for `http.createServer`
 * @returns a server that does not listen yet
 * @throws TypeError where `app` is no Express application, or the options name classes of messages
 */
export function createServer(app: ExpressApp, options: ServerOptions = {}): http.Server {
  return new Server({ ...options, ...messagesOf(app, options) }, app)
}

/**
 * As {@link createServer}, over TLS.
 *
 * @param app an Express application, 4.21 or 5
 * @param options as for `https.createServer`: `key`, `cert`, …
 * @returns a server that does not listen yet
 * @throws TypeError where `app` is no Express application, or the options name classes of messages
 */
export function createSecureServer(app: ExpressApp, options: SecureServerOptions): https.Server {
  return new SecureServer({ ...options, ...messagesOf(app, options) }, app)
}

class Server extends http.Server {
  override emit(event: string, ...values: unknown[]): boolean {
    if (!isForApp(this, event)) values.forEach(undress)
    return super.emit(event, ...values)
  }
}

class SecureServer extends https.Server {
  override emit(event: string, ...values: unknown[]): boolean {
    if (!isForApp(this, event)) values.forEach(undress)
    return super.emit(event, ...values)
  }
}

/** Whoever else listens may set what Express only has getters for: to `req.query`, for example. */
function isForApp(server: http.Server | https.Server, event: string): boolean {
  return event === 'request' && server.listenerCount(event) === 1
}

/** Gives a message the prototype that it has without Express. */
function undress(value: unknown): void {
  if (value instanceof IncomingMessage) Object.setPrototypeOf(value, IncomingMessage.prototype)
  else if (value instanceof ServerResponse) Object.setPrototypeOf(value, ServerResponse.prototype)
}

type Messages = Required<Pick<http.ServerOptions, 'IncomingMessage' | 'ServerResponse'>>

function messagesOf(app: ExpressApp, options: http.ServerOptions): Messages {
  if (
    typeof app !== 'function' ||
    !(app.request instanceof IncomingMessage && app.response instanceof ServerResponse)
  )
    throw new TypeError('createServer: the first argument must be an Express application')
  for (const name of ['IncomingMessage', 'ServerResponse'] as const)
    if (options[name] !== undefined)
      throw new TypeError(
        `createServer: leave out the option ${name}: the app’s own prototype takes its place`,
      )

  // Functions, as the prototype of a class is for good; and they call the original, as Reflect.construct costs more than is
  // saved. The names are Node's, so that stack traces and the console show what they always show.
  const messages = {
    IncomingMessage: function IncomingMessage(this: object, ...values: unknown[]): void {
      Reflect.apply(http.IncomingMessage, this, values)
    },
    ServerResponse: function ServerResponse(this: object, ...values: unknown[]): void {
      Reflect.apply(http.ServerResponse, this, values)
    },
  }
  // V8 makes as much room in an object as the constructors along this chain look like needing. With less, what Node adds to it makes
  // it a dictionary.
  Object.setPrototypeOf(messages.IncomingMessage, http.IncomingMessage)
  Object.setPrototypeOf(messages.ServerResponse, http.ServerResponse)
  messages.IncomingMessage.prototype = app.request
  messages.ServerResponse.prototype = app.response
  createsWith(app.request)
  createsWith(app.response)
  return messages as unknown as Messages
}
