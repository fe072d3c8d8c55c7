import { type Express, json, type RequestHandler } from 'express'
import { type Aat, requireAat } from 'express-aat'

/** `transport` handles `req.body`: the guard has to see all that is handled, whatever its `Content-Type`. */
export function mountMcp(app: Express, aat: Aat, transport: RequestHandler) {
  const resource = `${aat.issuer}/mcp` // one of createAat's resources
  const readOrders = requireAat(aat, { resource, scope: 'orders:read' })
  const placeOrders = requireAat(aat, { resource, scope: ['orders:read', 'orders:write'] })
  const guard: RequestHandler = (req, res, next) => {
    const calls = [req.body].flat() // one message or a batch
    const places = calls.some((m) => m?.method === 'tools/call' && m.params?.name === 'place_order')
    const guardOfThis = places ? placeOrders : readOrders
    guardOfThis(req, res, next)
  }
  app.post('/mcp', json({ type: () => true }), guard, transport)
}
