# SPDX-License-Identifier: Apache-2.0
"""The kinds of object in the toy world and where their drawings come from.

One line per kind:  name | plural | group | Noto characters | emoji slugs | openclipart files

* names follow COCO-80 where COCO has the kind, since object tags use COCO names;
* group decides actions, places and wording (see captions.py);
* slugs are icon names inside the emoji packages listed in assets.py, tried in every package;
* openclipart files are base names below /usr/share/openclipart/png, all looked at by a person.
"""
from dataclasses import dataclass

TABLE = """
cat|cats|pet|🐈🐱|cat cat-face catside|gatto_cat_architetto_fra_01 gatto_cat_architetto_fra_02 gatto_cat_architetto_fra_03 gatto_cat_architetto_fra_04 gattina_cat_architetto_f_01 cartoon_cat_gerald_g._01 cartoon_cat_gerald_g._02 kitten_gerald_g._01
dog|dogs|pet|🐕🐶🐩|dog dog-face poodle dogside|dog_01_drawn_with_strai_01 dog_03_drawn_with_strai_01 dog_04_drawn_with_strai_01 dog_05_drawn_with_strai_01 dog_06_drawn_with_strai_01 bored_dog_01
horse|horses|farm|🐎🐴|horse horse-face horseface|
cow|cows|farm|🐄🐮|cow cow-face cowface|
sheep|sheep|farm|🐑🐏|ewe ram sheep|sheep-md-v0.1
pig|pigs|farm|🐖🐷|pig pig-face pigside|pig_marcelo_caiafa1
rabbit|rabbits|farm|🐇🐰|rabbit rabbit-face bunny bunnyside|
elephant|elephants|wild|🐘|elephant|elephant_01
bear|bears|wild|🐻|bear bear-face polar-bear|
giraffe|giraffes|wild|🦒|giraffe giraffe-face|
zebra|zebras|wild|🦓|zebra zebra-face|
monkey|monkeys|wild|🐒🐵|monkey monkey-face monkeyface|angry_monkey_benji_park_01 happy_monkey_benji_park_01 monkey_head_nicu_buculei_01
frog|frogs|wild|🐸|frog frog-face|
turtle|turtles|wild|🐢|turtle|turtle_jurgen_gaeremyn_01
bird|birds|flyer|🐦🕊🦜|bird dove parrot|
duck|ducks|farm|🦆|duck|rubber_duck1_ganson rubber_duck2_ganson
chicken|chickens|farm|🐓🐔|chicken rooster|
penguin|penguins|wild|🐧|penguin|emperor_penguin_ralf_ste_01 new_penguin_charles_mcco_01
owl|owls|flyer|🦉|owl|
fish|fish|sea|🐟🐠|fish tropical-fish tropicalfish|brown_fish_01
dolphin|dolphins|sea|🐬|dolphin|dolphin dolphin_enrique_meza_c_01 dolphin_enrique_meza_c_02
octopus|octopuses|sea|🐙|octopus|
crab|crabs|sea|🦀|crab|
butterfly|butterflies|flyer|🦋|butterfly|butterfly_jonathan_dietr_01 butterfly_jonvdveen_01 farfalla_butterfly_fra1
bee|bees|flyer|🐝|honeybee|bee bee1_mimooh_01 bee2_mimooh_01 bee3_mimooh_01
person|people|person|🚶🏃🧍|person-walking person-running person-standing man-walking woman-walking walking running|
car|cars|road|🚗🚘🚙|automobile oncoming-automobile oncomingautomobile sport-utility-vehicle|car car_jamin_ellis_ skoda_car_alejandro_teja_
bus|buses|road|🚌🚍|bus oncoming-bus oncomingbus|bus1_jarno_vasamaa_01 bus2_jarno_vasamaa_01
truck|trucks|road|🚚🚛|delivery-truck articulated-lorry deliverytruck articulatedlorry|big_truck_01 truck_jarno_vasamaa1 truck_jarno_vasamaa_
bicycle|bicycles|road|🚲|bicycle|bicycle_01
motorcycle|motorcycles|road|🏍🛵|motorcycle motor-scooter|motorcycle_jarno_vasama_
train|trains|road|🚆🚂|train locomotive steamlocomotive|kiddy_train_orlando_kara_
airplane|airplanes|aircraft|✈🛩|airplane small-airplane|plane_in_the_sky_mo_01
helicopter|helicopters|aircraft|🚁|helicopter|
boat|boats|boat|⛵🚤|sailboat speedboat motor-boat|boat_jarno_vasamaa1 boat_jarno_vasamaa_ sailboat_illustration
rocket|rockets|aircraft|🚀|rocket|rocket
apple|apples|food|🍎🍏|red-apple green-apple redapple greenapple|an_apple_01 another_apple_01 apple apple_bitten_dan_gerhard_01 apple_martin_schmidt-li_01r cartoon_apple_k_yager_01
banana|bananas|food|🍌|banana|banana bananas_nicu_buculei_01
orange|oranges|food|🍊|tangerine|orange orange_dave_pena_01 orange_simple
pizza|pizzas|food|🍕|pizza sliceofpizza|pizza_4_stagioni_archite_01 pizza_cheese pizza_pepperoni pizza_slice_fco._andrade_01
cake|cakes|food|🎂🍰|birthday-cake birthdaycake shortcake|birthday_cake cake1_jarno_vasamaa_01 cake_etienne_bersac_r cake_jarno_vasamaa_r pink_cake_gabrielle_now_r
carrot|carrots|food|🥕|carrot|
strawberry|strawberries|food|🍓|strawberry|strawberry strawberry_01 strawberry_jonathan_diet_01 strawberry_simple
watermelon|watermelons|food|🍉|watermelon|watermelon_simple
grapes|grapes|food|🍇|grapes|grape_01 grapes_01 grapes_simple
cherry|cherries|food|🍒|cherries|cherry_jean_victor_balin_ cherry_jonathan_dietrich_01
hamburger|hamburgers|food|🍔|hamburger|burger_http_www.treebui_r chicken_burger
umbrella|umbrellas|thing|☂☔|umbrella umbrella-with-rain-drops umbrellawithraindrops|umbrella canada_umbrella_ganson
chair|chairs|thing|🪑|chair|
clock|clocks|thing|⏰🕰|alarm-clock mantelpiece-clock alarmclock manltepiececlock|alarm_clock_mike_powers_ analog_clock_jonathan_di_01 analogue_clock_01 clock clock01 clock05 clock_michael_breuer_01 modern_clock_chris_kemps_01
bottle|bottles|thing|🍾|bottle-with-popping-cork baby-bottle babybottle|baby_bottle_01 bottle_jean_victor_balin_ bottled_drink
cup|cups|thing|☕🍵|hot-beverage hotbeverage teacup-without-handle|cup_rollandin_francesco_ cuppa_schwoo_01 mug
book|books|thing|📕📖📗|closed-book open-book blue-book green-book closedbook openbook bluebook greenbook|book_01 book_02 closed_book_01 open_book_01 paperback_book_black_gal_
laptop|laptops|thing|💻|laptop personalcomputer|laptop
teddy bear|teddy bears|thing|🧸|teddy-bear|simple_teddy_bear_gerald_01 simple_teddy_bear_with__01 stylized_teddy_bear_gera_01 stylized_teddy_bear_wit_01 teddybear_jarno_vasamaa_
guitar|guitars|thing|🎸|guitar|guitar_ganson guitar_jarno_vasamaa1 guitar_jarno_vasamaa2 electric_guitar_andrea__01r
scissors|scissors|thing|✂|scissors blackscissors|scissors scissors_01 scissors_02 scissors_03 scissors_forbici_franc_
gift|gifts|thing|🎁|wrapped-gift present|gift01 gift02 gift03 gift04 gift05
sports ball|sports balls|thing|⚽🏀|soccer-ball basketball soccerball|beach_ball_01 football_ball_brice_boye_01 soccer_ball_ganson soccer_ballon_tanguy_jac_ volley_ball_angelo_gelmi_01
tree|trees|plant|🌳🌲|deciduous-tree evergreen-tree deciduoustree evergreen|cartoon_tree_01 fall_coloured_tree_geral_01 plain_tree_01 tree_02 tree_whit_fruits_01
flower|flowers|plant|🌷🌻🌹|tulip sunflower rose|flower_02 flower_03 flower1_juliane_krug_01 red_flower_01 red_flower_raphael_seban_01
cactus|cacti|plant|🌵|cactus|
mushroom|mushrooms|plant|🍄|mushroom|mushroom mushroom_benji_park_
house|houses|building|🏠🏡|house house-with-garden housebuilding housewithgarden|house_christoph_brill_01 house_gabrielle_nowicki_ house_juliane_krug_01 my_house_01 small_house_01 residential_house_zazou
"""


@dataclass(frozen=True)
class Kind:
    """One kind of object; see the module text for the meaning of the columns."""
    index: int
    name: str
    plural: str
    group: str
    noto: str
    slugs: tuple
    clipart: tuple


def _parse():
    kinds = []
    for line in TABLE.strip().splitlines():
        name, plural, group, noto, slugs, clipart = line.split("|")
        kinds.append(Kind(len(kinds), name, plural, group, noto, tuple(slugs.split()), tuple(clipart.split())))
    return kinds


KINDS = _parse()
BY_NAME = {kind.name: kind for kind in KINDS}
