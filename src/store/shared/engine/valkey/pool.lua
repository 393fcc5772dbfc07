#!lua flags=allow-oom
-- Words that all nodes know. Under this heading, for what is revoked has to come to all of them also where there is no room for uploads.
--
-- KEYS[1]: the words, by until when. KEYS[2], of these: m, another one whenever a word has come; c, how many there are, as far as that is known:
-- nodes of earlier releases add words and say nothing.
-- ARGV[1]: the m by which the asker knows all words; '': it wants to be told none. Then what is to be added, each word behind its time.
local words, about = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local known = redis.call('HMGET', about, 'm', 'c')
local mark, count = known[1] or '', tonumber(known[2] or '0')
local has_come = redis.call('ZCARD', words) ~= count
redis.call('ZREMRANGEBYSCORE', words, '-inf', clock[1] .. '000')
for at = 2, #ARGV, 2 do
  if redis.call('ZADD', words, ARGV[at], ARGV[at + 1]) == 1 then has_come = true end
end
local left = redis.call('ZCARD', words)
if has_come then mark = clock[1] .. '.' .. clock[2] end
if has_come or left ~= count then redis.call('HSET', about, 'm', mark, 'c', left) end
if ARGV[1] == '' or ARGV[1] == mark then return { mark } end
return { mark, redis.call('ZRANGE', words, 0, -1) }
