-- Renews, or ends, one node's lease and returns who has one.
-- KEYS: the leases (a hash: node -> expiry|draining|address), what is known of
-- them (a hash: number, since, last).
-- ARGV: node, address, draining (0 or 1), life in milliseconds, leave (0 or 1),
-- the highest number that the node has seen.
-- Returns: number, when the leases were begun anew, milliseconds since then, then
-- name, draining, address of each node.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, address, draining, life, leave, seen = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])

local since = tonumber(redis.call('HGET', KEYS[2], 'since'))
if not since or since > now then
  since = now
  redis.call('HSET', KEYS[2], 'since', string.format('%.0f', now))
end
local number = tonumber(redis.call('HGET', KEYS[2], 'number') or 0)

-- Everybody renews several times within half a life. When nobody has, it was the
-- server that couldn't be reached, not they: nobody's lease runs out by that.
-- After a longer silence they may all be gone.
local last = tonumber(redis.call('HGET', KEYS[2], 'last') or now)
local silence = now - last
local spared = silence > life / 2 and silence < 600000
redis.call('HSET', KEYS[2], 'last', string.format('%.0f', now))

local changed = number == 0 or number < seen
local mine = string.format('|%s|%s', draining, address)
local was = redis.call('HGET', KEYS[1], node)
if leave == '1' then
  if was then
    redis.call('HDEL', KEYS[1], node)
    changed = true
  end
else
  if not was or string.sub(was, string.find(was, '|', 1, true), -1) ~= mine then
    changed = true
  end
  redis.call('HSET', KEYS[1], node, string.format('%.0f', now + life) .. mine)
end

local answer = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local expiry, drains, at = string.match(all[i + 1], '^(%d+)|(%d)|(.*)$')
  if spared and tonumber(expiry) < now + life then
    expiry = string.format('%.0f', now + life)
    redis.call('HSET', KEYS[1], all[i], expiry .. '|' .. drains .. '|' .. at)
  end
  if tonumber(expiry) <= now then
    redis.call('HDEL', KEYS[1], all[i])
    changed = true
  else
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = drains
    answer[#answer + 1] = at
  end
end

if changed then
  number = math.max(number + 1, seen + 1, now)
  redis.call('HSET', KEYS[2], 'number', string.format('%.0f', number))
end
return { string.format('%.0f', number), string.format('%.0f', since), now - since, unpack(answer) }
