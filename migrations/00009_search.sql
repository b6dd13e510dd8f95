-- Search by words and their beginnings, within one organization.

-- +goose Up
-- What a text can be found by: its words, each with a mark of the organization
-- before it, so that the index has one list of rows for each word of each
-- organization, and what others write makes nobody's search slow. The mark is
-- seven of the id's digits behind a letter: organizations that share it by
-- chance share the lists, and the query tells their rows apart. Signs become
-- spaces first, because the parser would make one word of an address, and a
-- negative number of "order-4711". The list of signs is short: each costs time
-- for every character that is stored. A word right behind another sign is not
-- found, nor what comes after 4,000 characters.
-- +goose StatementBegin
CREATE FUNCTION search_terms(organization uuid, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('simple', replace(translate(' ' || left(body, 4000),
        E'\n-.,:/@_()"''+#!?*&=;$\u00bf\u00a1\u201c', repeat(' ', 24)),
        ' ', ' o' || left(organization::text, 7)));
-- +goose StatementEnd

-- What has all of the words of a text; the last word may be the beginning of
-- one, because people search while they type. Null where there is no word.
-- +goose StatementBegin
CREATE FUNCTION search_query(organization uuid, words text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT string_agg('''' || replace(replace(t.lexeme, E'\\', E'\\\\'), '''', '''''') || '''' || CASE WHEN t.last THEN ':*' ELSE '' END, ' & ')::tsquery
        FROM (
            SELECT lexeme, positions[array_upper(positions, 1)] = max(positions[array_upper(positions, 1)]) OVER () AS last
            FROM unnest(search_terms(organization, words))
            WHERE lexeme <> 'o' || left(organization::text, 7)
        ) AS t
    );
-- +goose StatementEnd

-- A small list of what isn't in the index yet: its owner's commit waits while it
-- is worked in.
CREATE INDEX messages_search ON messages USING gin (search_terms(organization_id, body))
    WITH (gin_pending_list_limit = 512) WHERE body IS NOT NULL;
CREATE INDEX contacts_search ON contacts USING gin (search_terms(organization_id, display_name || ' ' || provider_id));
CREATE INDEX contact_aliases_search ON contact_aliases USING gin (search_terms(organization_id, alias));
-- GET /api/contacts, by name. The few that are merged are in it, too: without
-- them every "merged_into IS NULL" would look to the planner like a use of it.
CREATE INDEX contacts_list ON contacts (organization_id, display_name, id) INCLUDE (merged_into);

-- +goose Down
DROP INDEX contacts_list, contact_aliases_search, contacts_search, messages_search;
DROP FUNCTION search_query(uuid, text), search_terms(uuid, text);
