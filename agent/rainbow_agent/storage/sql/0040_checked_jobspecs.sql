-- The ledger, version 40: a jobspec whose bytes were changed on the disk is not run.

ALTER TABLE offer ADD COLUMN crc INTEGER; -- of the jobspec, CRC-32 of its UTF-8; NULL: from before
