"""What the server does at once: Lua scripts. Each runs in one hash slot."""

from typing import Final

from transforms.calls.valkey import Script

WRITE_ITEM: Final = Script("""
-- KEYS: an item, what lies beside it, the run's before-images of it (all in one slot).
-- ARGV: changes, a JSON array of [field, text, text beside, new text, new text beside], '' for none; the series where the key does not tell it, else '';
--       seconds for which the item shall live at least; seconds for which a before-image may live at most.
-- Answers {1} when the item is as it shall be, else {0, all fields, all fields beside}, or {2, series} if the item is another series'.
local item, beside, images = KEYS[1], KEYS[2], KEYS[3]
local changes, live_s, image_s = cjson.decode(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[2] ~= '' then
  local series = redis.call('HGET', beside, 'series')
  if series and series ~= ARGV[2] then return {2, series} end
end
local fields = {}
for place, one in ipairs(changes) do fields[place] = one[1] end
local texts, besides = redis.call('HMGET', item, unpack(fields)), redis.call('HMGET', beside, unpack(fields))
local as_read, as_wanted = true, true
for place, one in ipairs(changes) do
  local text, other = texts[place] or '', besides[place] or ''
  as_read = as_read and text == one[2] and other == one[3]
  as_wanted = as_wanted and text == one[4] and other == one[5]
end
if as_wanted then return {1} end
local before, before_beside = redis.call('HGETALL', item), redis.call('HGETALL', beside)
if not as_read then return {0, before, before_beside} end
redis.call('RPUSH', images, cjson.encode({before, before_beside}))
local left_s = redis.call('TTL', item)
local function put(key, place)
  local set, gone = {}, {}
  for _, one in ipairs(changes) do
    if one[place] == '' then
      gone[#gone + 1] = one[1]
    else
      set[#set + 1] = one[1]
      set[#set + 1] = one[place]
    end
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end
put(item, 4)
put(beside, 5)
if redis.call('EXISTS', item) == 0 then
  redis.call('DEL', beside)
elseif ARGV[2] ~= '' then
  redis.call('HSET', beside, 'series', ARGV[2])
end
if left_s ~= -1 then
  live_s = math.max(left_s, live_s)
  redis.call('EXPIRE', item, live_s)
  redis.call('EXPIRE', beside, live_s)
  image_s = math.min(live_s, image_s)
end
redis.call('EXPIRE', images, image_s)
return {1}
""")

SWAP_TEXT: Final = Script("""
-- KEYS: the hash of small texts. ARGV: which, the text that was read or '', the new one. Answers 1, or 0 if another is there.
local text = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if text ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
""")

NOTE_RUN: Final = Script("""
-- KEYS: runs by the time when they may be forgotten, the units of this run. ARGV: run, now and that time in seconds, seconds until then, units.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
for place = 5, #ARGV do redis.call('SADD', KEYS[2], ARGV[place]) end
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
""")

NOTE_SERIES: Final = Script("""
-- KEYS: the series of one run and unit of which there may be before-images. ARGV: seconds to keep them, series.
for place = 2, #ARGV do redis.call('SADD', KEYS[1], ARGV[place]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
""")
